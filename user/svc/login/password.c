/* SPDX-License-Identifier: MIT */
/*
 * PBKDF2 over nettle's SHA-256. Nettle's own pbkdf2 and hmac cannot be linked here: Debian compiles them with a stack
 * protector, which reads thread-local data that programs of capOS don't have; its SHA-256 is free of that. The choice
 * of the processor's fastest version at run time (fat-x86_64.o) needs a C library, so the plain one is named here.
 */
#include "password.h"

#include <nettle/sha2.h>

#include <user/mem.h>
#include <user/print.h>

#define BLOCK_BYTES 64u
_Static_assert(SHA256_DIGEST_SIZE == PASSWORD_HASH_BYTES, "hash size");

/* What sha256.o asks for. */
void _nettle_sha256_compress(uint32_t *state, const uint8_t *data, const uint32_t *k);
void _nettle_sha256_compress_x86_64(uint32_t *state, const uint8_t *data, const uint32_t *k);
_Noreturn void __assert_fail(const char *what, const char *file, unsigned line, const char *function);

void _nettle_sha256_compress(uint32_t *state, const uint8_t *data, const uint32_t *k)
{
	_nettle_sha256_compress_x86_64(state, data, k);
}

void __assert_fail(const char *what, const char *file, unsigned line, const char *function)
{
	(void)function;
	panic_at(file, (int)line, "%s", what);
}

/* HMAC (RFC 2104): the states after the padded key, from which every message starts. */
struct hmac {
	struct sha256_ctx inner, outer;
};

static void start_padded(struct sha256_ctx *ctx, const uint8_t key[BLOCK_BYTES], uint8_t pad)
{
	uint8_t block[BLOCK_BYTES];

	for (size_t i = 0; i < BLOCK_BYTES; i++)
		block[i] = key[i] ^ pad;
	sha256_init(ctx);
	sha256_update(ctx, sizeof(block), block);
	password_wipe(block, sizeof(block));
}

static void hmac_init(struct hmac *hmac, const uint8_t *key, size_t n)
{
	uint8_t block[BLOCK_BYTES] = { 0 };

	if (n > BLOCK_BYTES) {
		sha256_init(&hmac->inner);
		sha256_update(&hmac->inner, n, key);
		sha256_digest(&hmac->inner, SHA256_DIGEST_SIZE, block);
	} else {
		memcpy(block, key, n);
	}
	start_padded(&hmac->inner, block, 0x36);
	start_padded(&hmac->outer, block, 0x5c);
	password_wipe(block, sizeof(block));
}

/* The HMAC of a and b, one after the other. `out` may be `a`. */
static void hmac_of(const struct hmac *hmac, const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes,
		    uint8_t out[SHA256_DIGEST_SIZE])
{
	struct sha256_ctx ctx = hmac->inner;

	sha256_update(&ctx, a_bytes, a);
	if (b_bytes)
		sha256_update(&ctx, b_bytes, b);
	sha256_digest(&ctx, SHA256_DIGEST_SIZE, out);
	ctx = hmac->outer;
	sha256_update(&ctx, SHA256_DIGEST_SIZE, out);
	sha256_digest(&ctx, SHA256_DIGEST_SIZE, out);
}

/* T1 = U1 ^ U2 ^ … with U1 = HMAC(salt | 00000001), Un = HMAC(Un-1): one block is the whole result. */
void password_hash(const char *password, const uint8_t *salt, size_t salt_bytes, uint32_t iterations,
		   uint8_t hash[PASSWORD_HASH_BYTES])
{
	static const uint8_t block_number[4] = { 0, 0, 0, 1 };
	uint8_t u[SHA256_DIGEST_SIZE];
	struct hmac hmac;

	hmac_init(&hmac, (const uint8_t *)password, strlen(password));
	hmac_of(&hmac, salt, salt_bytes, block_number, sizeof(block_number), u);
	memcpy(hash, u, sizeof(u));
	for (uint32_t i = 1; i < iterations; i++) {
		hmac_of(&hmac, u, sizeof(u), NULL, 0, u);
		for (size_t k = 0; k < sizeof(u); k++)
			hash[k] ^= u[k];
	}
	password_wipe(&hmac, sizeof(hmac));
	password_wipe(u, sizeof(u));
}

bool password_equal(const uint8_t *a, const uint8_t *b, size_t n)
{
	uint8_t difference = 0;

	for (size_t i = 0; i < n; i++)
		difference |= a[i] ^ b[i];
	return difference == 0;
}

void password_wipe(void *secret, size_t n)
{
	memset(secret, 0, n);
	__asm__ volatile("" : : "r"(secret) : "memory");
}
