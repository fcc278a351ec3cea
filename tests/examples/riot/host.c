/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs a node by the lines of standard input, and prints its messages:
 *   at SECOND               advance the time
 *   METHOD PATH [PAYLOAD]   send a request to a resource; METHOD is GET or PUT
 *   sensor TENTHS           set the value of its sensor; before, it has no sensor
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fmt.h"
#include "luid.h"
#include "net/gcoap.h"
#include "net/netif.h"
#include "net/sock/util.h"
#include "saul_reg.h"
#include "ztimer.h"

#define HEAD 24     /* bytes before a payload */
#define LINE_MAX_LENGTH 200

static const gcoap_listener_t *_listener;
static const char *_path;
static long _now_ms, _until_ms;
static int _tenths;
static saul_reg_t _sensor = { SAUL_SENSE_TEMP };
static netif_t _netif = { 7 };

void *coap_request_ctx_get_context(const coap_request_ctx_t *ctx) { return ctx->context; }
unsigned coap_get_code_detail(const coap_pkt_t *pdu) { return pdu->code; }
unsigned coap_method2flag(unsigned code) { return 1U << (code - 1); }
ssize_t coap_opt_add_format(coap_pkt_t *pdu, uint16_t format) { (void)pdu; return format; }

int gcoap_resp_init(coap_pkt_t *pdu, uint8_t *buf, size_t len, unsigned code)
{
    /* An answer is written where the request stands. */
    memset(buf, '~', len);
    pdu->payload = buf + HEAD;
    pdu->payload_len = len - HEAD;
    pdu->code = code;
    return 0;
}

ssize_t coap_opt_finish(coap_pkt_t *pdu, uint16_t flags)
{
    (void)pdu;
    return flags == COAP_OPT_FINISH_PAYLOAD ? HEAD : HEAD - 1;
}

ssize_t gcoap_response(coap_pkt_t *pdu, uint8_t *buf, size_t len, unsigned code)
{
    gcoap_resp_init(pdu, buf, len, code);
    return HEAD;
}

int gcoap_req_init(coap_pkt_t *pdu, uint8_t *buf, size_t len, unsigned code, const char *path)
{
    _path = path;
    return gcoap_resp_init(pdu, buf, len, code);
}

ssize_t gcoap_req_send(const uint8_t *buf, size_t len, const sock_udp_ep_t *remote,
                       const sock_udp_ep_t *local, gcoap_resp_handler_t handler, void *context,
                       gcoap_socket_type_t tl_type)
{
    if (local || handler || context || tl_type != GCOAP_SOCKET_TYPE_UDP) {
        abort();
    }
    printf("to port %u on %u: POST %s %.*s\n", remote->port, remote->netif, _path,
           (int)(len - HEAD), buf + HEAD);
    return len;
}

void gcoap_register_listener(gcoap_listener_t *listener)
{
    _listener = listener;
    for (size_t i = 1; i < listener->resources_len; i++) {
        if (strcmp(listener->resources[i - 1].path, listener->resources[i].path) >= 0) {
            abort();    /* gcoap would not find them */
        }
    }
}

static void _request(const char *method, const char *path, const char *payload)
{
    uint8_t buf[CONFIG_GCOAP_PDU_BUF_SIZE];
    for (size_t i = 0; i < _listener->resources_len; i++) {
        const coap_resource_t *resource = &_listener->resources[i];
        unsigned code = strcmp(method, "PUT") ? COAP_METHOD_GET : COAP_METHOD_PUT;
        if (strcmp(resource->path, path) || !(resource->methods & coap_method2flag(code))) {
            continue;
        }
        coap_request_ctx_t ctx = { resource->context };
        coap_pkt_t pdu = { buf + HEAD, strlen(payload), code, path };
        memcpy(buf + HEAD, payload, strlen(payload));
        ssize_t size = resource->handler(&pdu, buf, sizeof(buf), &ctx);
        printf("%u %.*s\n", pdu.code, (int)(size - HEAD), buf + HEAD);
        return;
    }
    puts("no such resource or method");
}

void ztimer_sleep(int clock, uint32_t duration)
{
    (void)clock;
    _now_ms += duration;
    while (_now_ms >= _until_ms) {
        char line[LINE_MAX_LENGTH], word[LINE_MAX_LENGTH], path[LINE_MAX_LENGTH];
        char payload[LINE_MAX_LENGTH] = "";
        if (!fgets(line, sizeof(line), stdin)) {
            exit(0);
        }
        printf("> %s", line);
        if (sscanf(line, "%199s %199s %199s", word, path, payload) < 2) {
            abort();
        }
        if (!strcmp(word, "at")) {
            _until_ms = atol(path) * 1000;
        }
        else if (!strcmp(word, "sensor")) {
            _tenths = atoi(path);
        }
        else {
            _request(word, path, payload);
        }
    }
}

netif_t *netif_iter(netif_t *last) { return last ? NULL : &_netif; }
int16_t netif_get_id(const netif_t *netif) { return netif->id; }

int sock_udp_str2ep(sock_udp_ep_t *endpoint, const char *text)
{
    memset(endpoint, 0, sizeof(*endpoint));
    return strcmp(text, "[fe80::1]") ? -1 : 0;
}

void luid_get(void *id, size_t size) { memset(id, 0xAB, size); }

size_t fmt_bytes_hex(char *out, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        snprintf(out + 2 * i, 3, "%02X", bytes[i]);
    }
    return 2 * count;
}

size_t fmt_s16_dfp(char *out, int16_t value, int scale)
{
    if (scale != -1) {
        abort();
    }
    size_t size = sprintf(out, "%d.%d", value / 10, abs(value % 10));
    out[size] = '~';    /* RIOT's does not end the text */
    return size;
}

saul_reg_t *saul_reg_find_type(uint8_t type)
{
    return _tenths && type == _sensor.type ? &_sensor : NULL;
}

int saul_reg_read(saul_reg_t *sensor, phydat_t *data)
{
    (void)sensor;
    *data = (phydat_t){ .val = { _tenths }, .scale = -1 };
    return 1;
}
