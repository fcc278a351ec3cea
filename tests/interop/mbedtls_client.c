/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A DTLS client with Mbed TLS, the library of Zephyr and ESP-IDF: sends one datagram, and prints
 * the answer in hexadecimal digits.
 *
 * Usage: mbedtls_client PORT IDENTITY KEY DATAGRAM, the last two in hexadecimal digits.
 */
#include <stdio.h>
#include <string.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/timing.h>

static size_t from_hex(const char *text, unsigned char *bytes, size_t size)
{
    size_t count = 0;
    unsigned int byte;
    while (count < size && sscanf(text + 2 * count, "%2x", &byte) == 1)
        bytes[count++] = (unsigned char)byte;
    return count;
}

int main(int argc, char **argv)
{
    static const int suites[] = { MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, 0 };
    unsigned char key[64], datagram[1024];
    mbedtls_net_context net;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config config;
    mbedtls_timing_delay_context timer;
    int result;

    if (argc != 5)
        return 2;
    mbedtls_net_init(&net);
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random);
    mbedtls_ssl_init(&ssl);
    mbedtls_ssl_config_init(&config);
    result = mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0);
    if (result == 0)
        result = mbedtls_net_connect(&net, "127.0.0.1", argv[1], MBEDTLS_NET_PROTO_UDP);
    if (result == 0)
        result = mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT,
                                             MBEDTLS_SSL_TRANSPORT_DATAGRAM,
                                             MBEDTLS_SSL_PRESET_DEFAULT);
    mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random);
    mbedtls_ssl_conf_ciphersuites(&config, suites);
    mbedtls_ssl_conf_read_timeout(&config, 5000);
    if (result == 0)
        result = mbedtls_ssl_conf_psk(&config, key, from_hex(argv[3], key, sizeof(key)),
                                      (const unsigned char *)argv[2], strlen(argv[2]));
    if (result == 0)
        result = mbedtls_ssl_setup(&ssl, &config);
    mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, mbedtls_net_recv_timeout);
    mbedtls_ssl_set_timer_cb(&ssl, &timer, mbedtls_timing_set_delay, mbedtls_timing_get_delay);
    while (result == 0 && (result = mbedtls_ssl_handshake(&ssl)) != 0)
        if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE)
            result = 0;
    if (result == 0) {
        result = mbedtls_ssl_write(&ssl, datagram, from_hex(argv[4], datagram, sizeof(datagram)));
        /* Requests of the gateway may come before its answer, which has a code above 1.31. */
        while (result > 0) {
            result = mbedtls_ssl_read(&ssl, datagram, sizeof(datagram));
            if (result > 1 && datagram[1] >= 0x40)
                break;
        }
        for (int i = 0; i < result; i++)
            printf("%02x", datagram[i]);
        printf("\n");
        mbedtls_ssl_close_notify(&ssl);
    }
    if (result < 0)
        printf("error -0x%04x\n", (unsigned int)-result);
    return result < 0;
}
