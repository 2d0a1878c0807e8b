/* SPDX-License-Identifier: MIT */
/*
 * Calls through endpoints: client and server. A message is up to eight words, 512 bytes and four capabilities.
 *
 *   client                              server
 *   endpoint_call(words, bytes, caps)   endpoint_recv() -> badge, method, words, bytes, caps
 *     ... blocked ...                   endpoint_reply() or endpoint_reply_recv(), or endpoint_exception()
 */
#ifndef USER_ENDPOINT_H
#define USER_ENDPOINT_H

#include <user/stubs.h>

struct message {
	uint64_t word[CAPOS_WORDS];
	capos_handle cap[CAPOS_MESSAGE_CAPS];
	unsigned words;	     /* of word[] that are sent, or were received */
	unsigned caps;	     /* of cap[] */
	unsigned bytes_sent; /* bytes of `bytes` to send; a receive says how many came in bytes_got */
	unsigned bytes_got;
	const void *bytes; /* to send; what comes is read with message_get() before the next call */
};

/* What a server received. */
struct request {
	struct message message;
	uint64_t badge; /* of the capability called through; 0: none */
	uint64_t token; /* names the call, to reply to it later */
	uint16_t method;
};

/*
 * Calls a method. accept_caps: capabilities that the reply may bring. On ok the reply is in *message (words, caps,
 * bytes_got). A server's exception is status `exception` with its interface result.
 */
struct capos_result endpoint_call_message(capos_handle h, uint32_t iface, uint16_t method, struct message *message,
					  unsigned accept_caps);

/* Words only. `in` and `out` may be the same or NULL; n_out words of the reply are stored. */
struct capos_result endpoint_call(capos_handle h, uint32_t iface, uint16_t method, const uint64_t *in, unsigned n_in,
				  uint64_t *out, unsigned n_out);

/* --- words only, inline, counts constant: the shortest way -------------------------------------------------------- */

/* `word` has room for max(in, out). accept_caps of the page is 0 between the calls of this library. */
static inline __attribute__((always_inline)) struct capos_result endpoint_call_words(capos_handle h, uint32_t iface,
										     uint16_t method, uint64_t *word,
										     unsigned in, unsigned out)
{
	return result_of(capos_call_words(CAPOS_CALL_WORD(iface, method, CAPOS_OP_CALL, in, 0), &h, word, in, out));
}

/* Replies `in` words and receives the next call: *badge, and `out` of its words. */
static inline __attribute__((always_inline)) struct capos_result endpoint_reply_recv_words(capos_handle h,
											   uint64_t *word,
											   unsigned in, unsigned out,
											   uint64_t *badge)
{
	uint64_t result = capos_call_words(CAPOS_CALL_WORD(0, 0, CAPOS_OP_REPLY_RECV, in, 0), &h, word, in, out);

	*badge = h;
	return result_of(result);
}

/* Receives a call; accept_caps: capabilities that it may bring. completionsPending: look at the ring first. */
struct capos_result endpoint_recv(capos_handle h, uint64_t deadline_ns, unsigned accept_caps,
				  struct request *request);

/* Replies to the call being served; `reply` may be NULL for an empty one. */
struct capos_result endpoint_reply(const struct message *reply);

/* Replies, and receives the next call. */
struct capos_result endpoint_reply_recv(capos_handle h, const struct message *reply, unsigned accept_caps,
					struct request *request);

/* The caller's call ends with status `exception` and this interface result. */
struct capos_result endpoint_exception(uint16_t iresult);

/* Replies to a call that was received earlier, by its token. */
struct capos_result endpoint_reply_to(uint64_t token, const struct message *reply);

#endif
