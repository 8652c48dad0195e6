/* Opens a handle and ends. */
#include <rubblemap_gnc.h>
#include <stdio.h>

int main(void) {
  rubblemap_options options;
  rubblemap_gnc *gnc = NULL;
  rubblemap_default_options(&options);
  options.products_endpoint = "tcp://127.0.0.1:5602";
  if (rubblemap_open(&options, &gnc) != RUBBLEMAP_OK) {
    fprintf(stderr, "%s\n", rubblemap_last_error(NULL));
    return 1;
  }
  printf("%d products\n", rubblemap_poll(gnc, 0) == RUBBLEMAP_OK);
  rubblemap_close(gnc);
  return 0;
}
