# Headers of which a mission may have its own in its *_defs folder, under the name without "default_".
generate_configfile_set(rubblemap_interface_cfg.h rubblemap_topicids.h)
