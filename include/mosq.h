/* Includes the library's header, which differs between versions, and defines the
 * constants that an older version lacks. */
#ifndef GOMOSQ_MOSQ_H
#define GOMOSQ_MOSQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__has_include)
#  if __has_include(<mosquitto/libmosquitto.h>)
#    define GOMOSQ_SPLIT_HEADERS 1
#  endif
#endif

#ifdef GOMOSQ_SPLIT_HEADERS
/* The mosquitto.h of 2.1 needs the cJSON headers. The parts of it that follow do not. */
#  define libmosqcommon_EXPORT
#  include <mosquitto/libmosquitto.h>
#  include <mosquitto/libcommon_properties.h>
#  include <mosquitto/libcommon_string.h>
#  include <mosquitto/libcommon_topic.h>
#  include <mosquitto/libcommon_utf8.h>
#else
#  include <mosquitto.h>
#  include <mqtt_protocol.h>
#endif

#if LIBMOSQUITTO_VERSION_NUMBER < 2000011
#  error "libmosquitto 2.0.11 or later is needed: install libmosquitto-dev of Debian 12, Ubuntu 22.04 or later (mosquitto-devel, mosquitto-dev, mosquitto elsewhere)"
#endif

#define GOMOSQ_21 (LIBMOSQUITTO_VERSION_NUMBER >= 2001000)

#if !GOMOSQ_21
enum {
	MOSQ_ERR_QUOTA_EXCEEDED = -6,
	MOSQ_ERR_AUTH_DELAYED = -5,
	MOSQ_ERR_PLUGIN_IGNORE = 32,
	MOSQ_ERR_HTTP_BAD_ORIGIN = 33,
	MOSQ_ERR_UNSPECIFIED = 128,
	MOSQ_ERR_IMPLEMENTATION_SPECIFIC = 131,
	MOSQ_ERR_UNSUPPORTED_PROTOCOL_VERSION = 132,
	MOSQ_ERR_CLIENT_IDENTIFIER_NOT_VALID = 133,
	MOSQ_ERR_BAD_USERNAME_OR_PASSWORD = 134,
	MOSQ_ERR_SERVER_UNAVAILABLE = 136,
	MOSQ_ERR_SERVER_BUSY = 137,
	MOSQ_ERR_BANNED = 138,
	MOSQ_ERR_SERVER_SHUTTING_DOWN = 139,
	MOSQ_ERR_BAD_AUTHENTICATION_METHOD = 140,
	MOSQ_ERR_SESSION_TAKEN_OVER = 142,
	MOSQ_ERR_TOPIC_FILTER_INVALID = 143,
	MOSQ_ERR_TOPIC_NAME_INVALID = 144,
	MOSQ_ERR_PACKET_ID_IN_USE = 145,
	MOSQ_ERR_PACKET_ID_NOT_FOUND = 146,
	MOSQ_ERR_RECEIVE_MAXIMUM_EXCEEDED = 147,
	MOSQ_ERR_MESSAGE_RATE_TOO_HIGH = 150,
	MOSQ_ERR_PAYLOAD_FORMAT_INVALID = 153,
	MOSQ_ERR_USE_ANOTHER_SERVER = 156,
	MOSQ_ERR_SERVER_MOVED = 157,
	MOSQ_ERR_SHARED_SUBS_NOT_SUPPORTED = 158,
	MOSQ_ERR_CONNECTION_RATE_EXCEEDED = 159,
	MOSQ_ERR_MAXIMUM_CONNECT_TIME = 160,
	MOSQ_ERR_SUBSCRIPTION_IDS_NOT_SUPPORTED = 161,
	MOSQ_ERR_WILDCARD_SUBS_NOT_SUPPORTED = 162
};
enum {
	MOSQ_OPT_DISABLE_SOCKETPAIR = 14,
	MOSQ_OPT_TRANSPORT = 15,
	MOSQ_OPT_HTTP_PATH = 16,
	MOSQ_OPT_HTTP_HEADER_SIZE = 17
};
enum { MOSQ_T_TCP = 1, MOSQ_T_WEBSOCKETS = 2 };
#endif

#endif
