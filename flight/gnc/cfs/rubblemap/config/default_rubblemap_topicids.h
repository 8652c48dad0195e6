/* Topics of the app, from which the mission's mapping makes message identifiers: with cFE's own mapping, commands are
 * 0x1800 and telemetry 0x0800 above them. */
#ifndef DEFAULT_RUBBLEMAP_TOPICIDS_H
#define DEFAULT_RUBBLEMAP_TOPICIDS_H

#define RUBBLEMAP_CMD_TOPICID 0xC8
#define RUBBLEMAP_SEND_HK_TOPICID 0xC9
#define RUBBLEMAP_WAKEUP_TOPICID 0xCA

#define RUBBLEMAP_HK_TLM_TOPICID 0xC8
#define RUBBLEMAP_FIX_TLM_TOPICID 0xC9
#define RUBBLEMAP_SITES_TLM_TOPICID 0xCA

#endif
