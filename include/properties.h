/* Converts properties between C and Go: it flattens a library list for Go, and builds a
 * library list from bytes that Go has encoded. */
#ifndef GOMOSQ_PROPERTIES_H
#define GOMOSQ_PROPERTIES_H

#include <stdlib.h>
#include <string.h>

#include "callbacks.h"

#define GOMOSQ_FLAT_FEW 8

struct gomosq_flat {
	int count;
	struct gomosq_property *items;
	struct gomosq_property few[GOMOSQ_FLAT_FEW]; /* saves a malloc for short lists */
};

/* The MQTT_PROP_TYPE_x of an identifier, 0 when unknown. */
static inline int gomosq_property_type_of(int identifier)
{
	int type = 0;
	const char *name = mosquitto_property_identifier_to_string(identifier);

	if(name == NULL || mosquitto_string_to_property_info(name, &identifier, &type)) return 0;
	return type;
}

#if GOMOSQ_21
/* 2.1 returns pointers to its own memory. They must not be freed. */
static inline void gomosq_property_read(const mosquitto_property *from, struct gomosq_property *to)
{
	switch(mosquitto_property_type(from)){
		case MQTT_PROP_TYPE_BYTE:
			to->number = mosquitto_property_byte_value(from);
			break;
		case MQTT_PROP_TYPE_INT16:
			to->number = mosquitto_property_int16_value(from);
			break;
		case MQTT_PROP_TYPE_INT32:
			to->number = mosquitto_property_int32_value(from);
			break;
		case MQTT_PROP_TYPE_VARINT:
			to->number = mosquitto_property_varint_value(from);
			break;
		case MQTT_PROP_TYPE_BINARY:
			to->value = (char *)mosquitto_property_binary_value(from);
			to->value_len = mosquitto_property_binary_value_length(from);
			break;
		case MQTT_PROP_TYPE_STRING_PAIR:
			to->name = (char *)mosquitto_property_string_name(from);
			to->name_len = mosquitto_property_string_name_length(from);
			/* fall through */
		case MQTT_PROP_TYPE_STRING:
			to->value = (char *)mosquitto_property_string_value(from);
			to->value_len = mosquitto_property_string_value_length(from);
			break;
	}
}

static inline void gomosq_property_release(struct gomosq_property *p)
{
	(void)p;
}
#else
/* 2.0 returns copies. gomosq_property_release frees them. */
static inline void gomosq_property_read(const mosquitto_property *from, struct gomosq_property *to)
{
	uint8_t byte = 0;
	uint16_t int16 = 0;
	void *binary = NULL;

	switch(gomosq_property_type_of(to->id)){
		case MQTT_PROP_TYPE_BYTE:
			mosquitto_property_read_byte(from, to->id, &byte, false);
			to->number = byte;
			break;
		case MQTT_PROP_TYPE_INT16:
			mosquitto_property_read_int16(from, to->id, &int16, false);
			to->number = int16;
			break;
		case MQTT_PROP_TYPE_INT32:
			mosquitto_property_read_int32(from, to->id, &to->number, false);
			break;
		case MQTT_PROP_TYPE_VARINT:
			mosquitto_property_read_varint(from, to->id, &to->number, false);
			break;
		case MQTT_PROP_TYPE_BINARY:
			mosquitto_property_read_binary(from, to->id, &binary, &int16, false);
			to->value = binary;
			to->value_len = binary ? int16 : 0;
			break;
		case MQTT_PROP_TYPE_STRING_PAIR:
			mosquitto_property_read_string_pair(from, to->id, &to->name, &to->value, false);
			break;
		case MQTT_PROP_TYPE_STRING:
			mosquitto_property_read_string(from, to->id, &to->value, false);
			break;
	}
	if(to->name) to->name_len = (uint32_t)strlen(to->name);
	if(to->value && !to->value_len && binary == NULL) to->value_len = (uint32_t)strlen(to->value);
}

static inline void gomosq_property_release(struct gomosq_property *p)
{
	free(p->name);
	free(p->value);
}
#endif

static inline void gomosq_flatten(struct gomosq_flat *flat, const mosquitto_property *props)
{
	const mosquitto_property *p;
	int n = 0;

	flat->count = 0;
	flat->items = NULL;
	for(p = props; p; p = mosquitto_property_next(p)) n++;
	if(n == 0) return;

	flat->items = flat->few;
	if(n > GOMOSQ_FLAT_FEW){
		flat->items = malloc((size_t)n * sizeof(*flat->items));
		if(!flat->items) return;
	}
	memset(flat->items, 0, (size_t)n * sizeof(*flat->items));
	for(p = props; p; p = mosquitto_property_next(p)){
		struct gomosq_property *item = &flat->items[flat->count++];
		item->id = mosquitto_property_identifier(p);
		gomosq_property_read(p, item);
	}
}

static inline void gomosq_flat_release(struct gomosq_flat *flat)
{
	int i;

	for(i = 0; i < flat->count; i++) gomosq_property_release(&flat->items[i]);
	if(flat->items != flat->few) free(flat->items);
}

static inline uint32_t gomosq_take_number(const uint8_t **at)
{
	uint32_t n;

	memcpy(&n, *at, sizeof(n));
	*at += sizeof(n);
	return n;
}

/* Reads a text in the encoding of Go: length, bytes, NUL. */
static inline const char *gomosq_take_text(const uint8_t **at, uint32_t *len)
{
	const char *text;

	*len = gomosq_take_number(at);
	text = (const char *)*at;
	*at += *len + 1;
	return text;
}

/* Builds a library list from the bytes that Go has encoded: for each property the
 * identifier, its type, and a number or texts. On an error it frees the list. */
static inline int gomosq_properties_build(mosquitto_property **list, const uint8_t *at, size_t size)
{
	const uint8_t *end = at + size;
	const char *name, *value;
	uint32_t len;
	int rc = MOSQ_ERR_SUCCESS;

	*list = NULL;
	while(rc == MOSQ_ERR_SUCCESS && at < end){
		int id = (int)gomosq_take_number(&at);
		switch(gomosq_take_number(&at)){
			case MQTT_PROP_TYPE_BYTE:
				rc = mosquitto_property_add_byte(list, id, (uint8_t)gomosq_take_number(&at));
				break;
			case MQTT_PROP_TYPE_INT16:
				rc = mosquitto_property_add_int16(list, id, (uint16_t)gomosq_take_number(&at));
				break;
			case MQTT_PROP_TYPE_INT32:
				rc = mosquitto_property_add_int32(list, id, gomosq_take_number(&at));
				break;
			case MQTT_PROP_TYPE_VARINT:
				rc = mosquitto_property_add_varint(list, id, gomosq_take_number(&at));
				break;
			case MQTT_PROP_TYPE_BINARY:
				value = gomosq_take_text(&at, &len);
				rc = mosquitto_property_add_binary(list, id, value, (uint16_t)len);
				break;
			case MQTT_PROP_TYPE_STRING:
				value = gomosq_take_text(&at, &len);
				rc = mosquitto_property_add_string(list, id, value);
				break;
			case MQTT_PROP_TYPE_STRING_PAIR:
				name = gomosq_take_text(&at, &len);
				value = gomosq_take_text(&at, &len);
				rc = mosquitto_property_add_string_pair(list, id, name, value);
				break;
			default:
				rc = MOSQ_ERR_INVAL;
		}
	}
	if(rc) mosquitto_property_free_all(list);
	return rc;
}

#endif
