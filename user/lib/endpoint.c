/* SPDX-License-Identifier: MIT */
/* Client and server of endpoints: puts a message together from registers and thread page, and takes it apart. */
#include <user/endpoint.h>

/* Words of `message` to the registers, bytes and capabilities to the page; returns the call word's flags. */
static unsigned load(struct capos_regs *regs, const struct message *message)
{
	struct capos_thread_page *page = self_page();
	unsigned flags = 0;

	for (unsigned i = 0; i < message->words && i < CAPOS_WORDS; i++)
		regs->word[i] = message->word[i];
	if (message->bytes_sent) {
		message_put(message->bytes, message->bytes_sent);
		flags |= CAPOS_CALL_MESSAGE;
	}
	if (message->caps) {
		for (unsigned i = 0; i < message->caps && i < CAPOS_MESSAGE_CAPS; i++)
			page->send_cap[i] = message->cap[i];
		page->send_caps = message->caps;
		flags |= CAPOS_CALL_CAPS;
	}
	return flags;
}

/* What came: the result's detail says how much of it. */
static void store(const struct capos_regs *regs, uint32_t detail, struct message *message)
{
	const struct capos_thread_page *page = self_page();

	memcpy(message->word, regs->word, sizeof(message->word));
	message->words = CAPOS_RECV_WORDS(detail);
	message->caps = CAPOS_RECV_CAPS(detail) < CAPOS_MESSAGE_CAPS ? CAPOS_RECV_CAPS(detail) : CAPOS_MESSAGE_CAPS;
	memcpy(message->cap, page->recv_cap, sizeof(message->cap));
	message->bytes_got = CAPOS_RECV_BYTES(detail);
}

struct capos_result endpoint_call_message(capos_handle h, uint32_t iface, uint16_t method, struct message *message,
					  unsigned accept_caps)
{
	struct capos_regs regs = { .handle = h };
	unsigned flags = load(&regs, message);

	self_page()->accept_caps = accept_caps;
	regs.call = CAPOS_CALL_WORD(iface, method, CAPOS_OP_CALL, message->words, flags);
	capos_syscall(&regs);
	self_page()->accept_caps = 0;

	struct capos_result r = result_of(regs.call);

	if (r.status == CAPOS_STATUS_OK)
		store(&regs, r.detail, message);
	return r;
}

struct capos_result endpoint_call(capos_handle h, uint32_t iface, uint16_t method, const uint64_t *in, unsigned n_in,
				  uint64_t *out, unsigned n_out)
{
	struct capos_regs regs = { CAPOS_CALL_WORD(iface, method, CAPOS_OP_CALL, n_in, 0), h, { 0 } };

	for (unsigned i = 0; i < n_in && i < CAPOS_WORDS; i++)
		regs.word[i] = in[i];
	capos_syscall(&regs);

	struct capos_result r = result_of(regs.call);

	for (unsigned i = 0; r.status == CAPOS_STATUS_OK && i < n_out && i < CAPOS_WORDS; i++)
		out[i] = regs.word[i];
	return r;
}

static struct capos_result received(const struct capos_regs *regs, struct request *request)
{
	struct capos_result r = result_of(regs->call);

	if (r.status != CAPOS_STATUS_OK)
		return r;
	store(regs, r.detail, &request->message);
	request->badge = regs->handle;
	request->method = r.iresult;
	request->token = self_page()->recv_token;
	r.iresult = 0;
	return r;
}

struct capos_result endpoint_recv(capos_handle h, uint64_t deadline_ns, unsigned accept_caps, struct request *request)
{
	struct capos_regs regs = { CAPOS_CALL_WORD(0, 0, CAPOS_OP_RECV, 1, 0), h, { deadline_ns } };

	self_page()->accept_caps = accept_caps;
	capos_syscall(&regs);
	self_page()->accept_caps = 0;
	return received(&regs, request);
}

static struct capos_result reply_with(unsigned flags, const struct message *reply)
{
	struct capos_regs regs = { 0 };
	unsigned words = 0;

	if (reply) {
		flags |= load(&regs, reply);
		words = reply->words;
	}
	regs.call = CAPOS_CALL_WORD(0, 0, CAPOS_OP_REPLY, words, flags);
	capos_syscall(&regs);
	return result_of(regs.call);
}

struct capos_result endpoint_reply(const struct message *reply)
{
	return reply_with(0, reply);
}

struct capos_result endpoint_reply_to(uint64_t token, const struct message *reply)
{
	self_page()->reply_token = token;
	return reply_with(CAPOS_CALL_TOKEN, reply);
}

struct capos_result endpoint_exception(uint16_t iresult)
{
	/* The interface field of the call word carries the interface result. */
	struct capos_regs regs = { CAPOS_CALL_WORD(iresult, 0, CAPOS_OP_REPLY, 0, CAPOS_CALL_EXCEPTION), 0, { 0 } };

	capos_syscall(&regs);
	return result_of(regs.call);
}

struct capos_result endpoint_reply_recv(capos_handle h, const struct message *reply, unsigned accept_caps,
					struct request *request)
{
	struct capos_regs regs = { .handle = h };
	unsigned flags = reply ? load(&regs, reply) : 0;

	self_page()->accept_caps = accept_caps;
	regs.call = CAPOS_CALL_WORD(0, 0, CAPOS_OP_REPLY_RECV, reply ? reply->words : 0, flags);
	capos_syscall(&regs);
	self_page()->accept_caps = 0;
	return received(&regs, request);
}
