/* SPDX-License-Identifier: MIT */
/*
 * PBKDF2-HMAC-SHA256 by nettle. Debian compiles it with a stack protector, whose canary lies at %fs:0x28: a page of zeros
 * there (both machines give one, or the host's). Nettle's choice of the processor's fastest version at run time
 * (fat-x86_64.o) needs a C library, so the plain ones are named here.
 */
#include "password.h"

#include <nettle/pbkdf2.h>
#include <nettle/sha2.h>

#include <user/mem.h>
#include <user/print.h>

_Static_assert(SHA256_DIGEST_SIZE == PASSWORD_HASH_BYTES, "hash size");

/* What nettle's objects ask for. */
void _nettle_sha256_compress(uint32_t *state, const uint8_t *data, const uint32_t *k);
void _nettle_sha256_compress_x86_64(uint32_t *state, const uint8_t *data, const uint32_t *k);
void *nettle_memxor(void *to, const void *from, size_t n);
_Noreturn void __assert_fail(const char *what, const char *file, unsigned line, const char *function);
_Noreturn void __stack_chk_fail(void);

void _nettle_sha256_compress(uint32_t *state, const uint8_t *data, const uint32_t *k)
{
	_nettle_sha256_compress_x86_64(state, data, k);
}

void *nettle_memxor(void *to, const void *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)to)[i] ^= ((const uint8_t *)from)[i];
	return to;
}

void __assert_fail(const char *what, const char *file, unsigned line, const char *function)
{
	(void)function;
	panic_at(file, (int)line, "%s", what);
}

void __stack_chk_fail(void)
{
	panic("stack overwritten");
}

void password_hash(const char *password, const uint8_t *salt, size_t salt_bytes, uint32_t iterations,
		   uint8_t hash[PASSWORD_HASH_BYTES])
{
	pbkdf2_hmac_sha256(strlen(password), (const uint8_t *)password, iterations, salt_bytes, salt,
			   PASSWORD_HASH_BYTES, hash);
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
