// Unit tests of the F Prime component, against a pretended service.
#include "MapClientTester.hpp"

using Rubblemap::MapClientTester;

TEST(MapClient, OpensLater) { MapClientTester().opens_later(); }
TEST(MapClient, MakesFixAndSites) { MapClientTester().makes_fix_and_sites(); }
TEST(MapClient, TellsRefusalsOnce) { MapClientTester().tells_refusals_once(); }
TEST(MapClient, CountsWhatIsWrong) { MapClientTester().counts_what_is_wrong(); }
TEST(MapClient, PassesCommandsOn) { MapClientTester().passes_commands_on(); }
TEST(MapClient, AnswersAsTheServiceDoes) { MapClientTester().answers_as_the_service_does(); }
TEST(MapClient, LimitsCommandsUnderWay) { MapClientTester().limits_commands_under_way(); }
TEST(MapClient, TellsParameters) { MapClientTester().tells_parameters(); }
TEST(MapClient, FollowsTheServicesState) { MapClientTester().follows_the_services_state(); }
TEST(MapClient, SaysWhenNobodyIsThere) { MapClientTester().says_when_nobody_is_there(); }
TEST(MapClient, DropsCyclesButNoPings) { MapClientTester().drops_cycles_but_no_pings(); }

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
