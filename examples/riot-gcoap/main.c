/* SPDX-License-Identifier: BSD-3-Clause */
/* A node of Pyaiot over CoAP: it sends its temperature, and its LED can be switched. */

#include <stdio.h>
#include <string.h>

#include "fmt.h"
#include "led.h"
#include "luid.h"
#include "net/gcoap.h"
#include "net/netif.h"
#include "net/sock/util.h"
#include "saul_reg.h"
#include "ztimer.h"

#define NODE_NAME   "My RIOT board"
#define BOOT_MS     3000U   /* until the interface has its address */
#define ALIVE_S     30U
#define REPORT_S    5U
#define UID_BYTES   8U
#define TEXT_MAX    64U

static char _uid[2 * UID_BYTES + 1];
static char _led = '0';
static sock_udp_ep_t _gateway;

/* ---- what the gateway asks ---- */

static ssize_t _answer(coap_pkt_t *pdu, uint8_t *buf, size_t len, unsigned code, const char *text)
{
    gcoap_resp_init(pdu, buf, len, code);
    coap_opt_add_format(pdu, COAP_FORMAT_TEXT);
    size_t head = coap_opt_finish(pdu, COAP_OPT_FINISH_PAYLOAD);
    size_t size = strlen(text);
    if (pdu->payload_len < size) {
        return gcoap_response(pdu, buf, len, COAP_CODE_INTERNAL_SERVER_ERROR);
    }
    memcpy(pdu->payload, text, size);
    return head + size;
}

/* The context of the resource is its text. */
static ssize_t _text_handler(coap_pkt_t *pdu, uint8_t *buf, size_t len, coap_request_ctx_t *ctx)
{
    return _answer(pdu, buf, len, COAP_CODE_CONTENT, coap_request_ctx_get_context(ctx));
}

static ssize_t _led_handler(coap_pkt_t *pdu, uint8_t *buf, size_t len, coap_request_ctx_t *ctx)
{
    (void)ctx;
    if (coap_method2flag(coap_get_code_detail(pdu)) == COAP_GET) {
        const char text[] = { _led, '\0' };
        return _answer(pdu, buf, len, COAP_CODE_CONTENT, text);
    }
    if (pdu->payload_len != 1 || (pdu->payload[0] != '0' && pdu->payload[0] != '1')) {
        return gcoap_response(pdu, buf, len, COAP_CODE_BAD_REQUEST);
    }
    _led = pdu->payload[0];
    if (_led == '1') {
        LED0_ON;
    }
    else {
        LED0_OFF;
    }
    const char text[] = { 'l', 'e', 'd', ':', _led, '\0' };
    return _answer(pdu, buf, len, COAP_CODE_CHANGED, text);
}

/* Sorted by path: gcoap looks for them that way, and lists them in /.well-known/core. */
static const coap_resource_t _resources[] = {
    { "/board", COAP_GET, _text_handler, RIOT_BOARD },
    { "/led", COAP_GET | COAP_PUT, _led_handler, NULL },
    { "/mcu", COAP_GET, _text_handler, RIOT_CPU },
    { "/name", COAP_GET, _text_handler, NODE_NAME },
    { "/os", COAP_GET, _text_handler, "riot" },
};

static gcoap_listener_t _listener = {
    .resources = _resources,
    .resources_len = ARRAY_SIZE(_resources),
    .tl_type = GCOAP_SOCKET_TYPE_UDP,
};

/* ---- messages that the node sends ---- */

static void _post(const char *path, const char *what, const char *value)
{
    char text[TEXT_MAX];
    uint8_t buf[CONFIG_GCOAP_PDU_BUF_SIZE];
    coap_pkt_t pdu;

    int size = snprintf(text, sizeof(text), "%s:%s", what, value);
    gcoap_req_init(&pdu, buf, sizeof(buf), COAP_METHOD_POST, path);
    coap_opt_add_format(&pdu, COAP_FORMAT_TEXT);
    size_t head = coap_opt_finish(&pdu, COAP_OPT_FINISH_PAYLOAD);
    if (size < 0 || (size_t)size >= sizeof(text) || pdu.payload_len < (size_t)size) {
        printf("%s: too long\n", what);
        return;
    }
    memcpy(pdu.payload, text, size);
    /* Non-confirmable, without a response handler. Releases before 2024.07 have no `local`: omit
     * the first NULL there. */
    if (gcoap_req_send(buf, head + size, &_gateway, NULL, NULL, NULL, GCOAP_SOCKET_TYPE_UDP) <= 0) {
        printf("%s: not sent\n", what);
    }
}

static void _post_temperature(void)
{
    saul_reg_t *sensor = saul_reg_find_type(SAUL_SENSE_TEMP);
    phydat_t data;

    if (sensor == NULL || saul_reg_read(sensor, &data) < 1) {
        return;     /* a board without such a sensor */
    }
    char text[TEXT_MAX];
    size_t size = fmt_s16_dfp(text, data.val[0], data.scale);
    strcpy(text + size, "°C");
    _post("/server", "temperature", text);
}

int main(void)
{
    uint8_t id[UID_BYTES];

    luid_get(id, sizeof(id));
    _uid[fmt_bytes_hex(_uid, id, sizeof(id))] = '\0';
    LED0_OFF;

    if (sock_udp_str2ep(&_gateway, "[" GATEWAY "]") < 0) {
        puts("GATEWAY is not an IPv6 address");
        return 1;
    }
    _gateway.port = CONFIG_GCOAP_PORT;
    if (_gateway.netif == SOCK_ADDR_ANY_NETIF) {
        _gateway.netif = netif_get_id(netif_iter(NULL));
    }
    gcoap_register_listener(&_listener);
    printf("I am %s, my gateway is %s\n", _uid, GATEWAY);

    ztimer_sleep(ZTIMER_MSEC, BOOT_MS);
    _post("/alive", "reset", _uid);
    for (unsigned second = 0;; second++) {
        if (second % ALIVE_S == 0) {
            _post("/alive", "alive", _uid);
        }
        if (second % REPORT_S == 0) {
            _post_temperature();
        }
        ztimer_sleep(ZTIMER_MSEC, 1000);
    }
}
