/* SPDX-License-Identifier: BSD-3-Clause */
/* What the example uses of RIOT's gcoap, with RIOT's names. Messages are a head without meaning and
 * a payload. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CONFIG_GCOAP_PDU_BUF_SIZE 128
#define CONFIG_GCOAP_PORT 5683
#define SOCK_ADDR_ANY_NETIF 0
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

enum { COAP_GET = 1, COAP_POST = 2, COAP_PUT = 4 };
enum { COAP_METHOD_GET = 1, COAP_METHOD_POST, COAP_METHOD_PUT };
enum { COAP_FORMAT_TEXT = 0 };
enum {
    COAP_CODE_CHANGED = 204,
    COAP_CODE_CONTENT = 205,
    COAP_CODE_BAD_REQUEST = 400,
    COAP_CODE_INTERNAL_SERVER_ERROR = 500,
};
enum { COAP_OPT_FINISH_NONE, COAP_OPT_FINISH_PAYLOAD };
typedef enum { GCOAP_SOCKET_TYPE_UNDEF, GCOAP_SOCKET_TYPE_UDP } gcoap_socket_type_t;

typedef struct {
    uint8_t *payload;
    uint16_t payload_len;
    unsigned code;
    const char *path;
} coap_pkt_t;

typedef struct {
    uint8_t address[16];
    uint16_t netif;
    uint16_t port;
} sock_udp_ep_t;

typedef struct {
    void *context;
} coap_request_ctx_t;

typedef ssize_t (*coap_handler_t)(coap_pkt_t *, uint8_t *, size_t, coap_request_ctx_t *);
typedef void (*gcoap_resp_handler_t)(void);

typedef struct {
    const char *path;
    unsigned methods;
    coap_handler_t handler;
    void *context;
} coap_resource_t;

typedef struct gcoap_listener {
    const coap_resource_t *resources;
    size_t resources_len;
    gcoap_socket_type_t tl_type;
    void *link_encoder;
    struct gcoap_listener *next;
} gcoap_listener_t;

void *coap_request_ctx_get_context(const coap_request_ctx_t *ctx);
unsigned coap_get_code_detail(const coap_pkt_t *pdu);
unsigned coap_method2flag(unsigned code);
ssize_t coap_opt_add_format(coap_pkt_t *pdu, uint16_t format);
ssize_t coap_opt_finish(coap_pkt_t *pdu, uint16_t flags);
int gcoap_resp_init(coap_pkt_t *pdu, uint8_t *buf, size_t len, unsigned code);
ssize_t gcoap_response(coap_pkt_t *pdu, uint8_t *buf, size_t len, unsigned code);
int gcoap_req_init(coap_pkt_t *pdu, uint8_t *buf, size_t len, unsigned code, const char *path);
ssize_t gcoap_req_send(const uint8_t *buf, size_t len, const sock_udp_ep_t *remote,
                       const sock_udp_ep_t *local, gcoap_resp_handler_t handler, void *context,
                       gcoap_socket_type_t tl_type);
void gcoap_register_listener(gcoap_listener_t *listener);
