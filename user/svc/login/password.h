/* SPDX-License-Identifier: MIT */
/* Password hashes: PBKDF2-HMAC-SHA256 (RFC 8018) with a 32-byte result. */
#ifndef LOGIN_PASSWORD_H
#define LOGIN_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PASSWORD_HASH_BYTES 32u

void password_hash(const char *password, const uint8_t *salt, size_t salt_bytes, uint32_t iterations,
		   uint8_t hash[PASSWORD_HASH_BYTES]);

/* Compares without telling by its time where they differ. */
bool password_equal(const uint8_t *a, const uint8_t *b, size_t n);

/* Overwrites what was secret, so that the compiler cannot leave it out. */
void password_wipe(void *secret, size_t n);

#endif
