/* SPDX-License-Identifier: MIT */
/*
 * Physical frames. A frame is in exactly one place:
 *
 *   untouched (above a range's `next`) --> magazine of a CPU <--> in use
 *                                             ^   |
 *                                             |   v           boot memory (top of the largest range) is never freed
 *                                          global list
 *
 * The list runs through the free frames themselves. A magazine belongs to its CPU (interrupts are off), so that most
 * allocations take no lock; batches of half a magazine go to and from the global part under frame_lock. Beside it a CPU keeps
 * a few frames that are known to be zero: page tables are emptied before they are freed.
 *
 * Invariant FR1: untouched + list + magazines + in use + boot == total. A frame's `used` byte is 1 iff it is in use.
 * Frame 0 is never given out: physical address 0 means none.
 */
#include "mm_priv.h"

#include <string.h>

#include <kernel/state.h>

#define FREE_PATTERN 0x5a5a5a5a5a5a5a5aull

static struct mm_state *mm(void)
{
	return &kernel_state.mm;
}

/* --- boot ------------------------------------------------------------------------------------------------------------ */

static u64 usable_start(const struct mem_range *mem)
{
	return MAX(mem->start, PAGE_BYTES);
}

static u64 usable_end(const struct mem_range *mem)
{
	u64 end = mem->start + mem->bytes;

	return mem->kind == MEM_USABLE && end > usable_start(mem) ? end : usable_start(mem);
}

/* Bytes that the allocator itself needs, in pages. */
static u64 metadata_bytes(const struct boot_info *info, u32 *count, u64 *largest)
{
	u64 bytes = 0;

	*count = 0;
	*largest = 0;
	for (u32 i = 0; i < info->mem_count; i++) {
		u64 size = usable_end(&info->mem[i]) - usable_start(&info->mem[i]);

		if (size == 0)
			continue;
		*largest = MAX(*largest, size);
		(*count)++;
		bytes += ALIGN_UP(size >> PAGE_SHIFT, 64ul);
	}
	bytes += ALIGN_UP(*count * sizeof(struct frame_range), 64ul) + info->cpu_count * sizeof(struct magazine);
	return ALIGN_UP(bytes, PAGE_BYTES);
}

/* Put a range into the table, which has its largest first. */
static void add_range(struct frame_range range)
{
	u32 at = mm()->range_count++;

	if (at > 0 && range.end - range.start > mm()->ranges[0].end - mm()->ranges[0].start) {
		mm()->ranges[at] = mm()->ranges[0];
		at = 0;
	}
	mm()->ranges[at] = range;
}

void frames_init(const struct boot_info *info)
{
	u32 count;
	u64 largest, bytes = metadata_bytes(info, &count, &largest);
	u8 *metadata = NULL;

	if (largest < bytes + PAGE_BYTES)
		panic("not enough memory: the largest range has %lu bytes", (unsigned long)largest);
	for (u32 i = 0; i < info->mem_count && metadata == NULL; i++) {
		if (usable_end(&info->mem[i]) - usable_start(&info->mem[i]) == largest)
			metadata = phys_to_virt((struct paddr){ usable_end(&info->mem[i]) - bytes });
	}
	memset(metadata, 0, bytes);
	mm()->magazines = (struct magazine *)(void *)metadata;
	metadata += info->cpu_count * sizeof(struct magazine);
	mm()->ranges = (struct frame_range *)(void *)metadata;
	metadata += ALIGN_UP(count * sizeof(struct frame_range), 64ul);
	for (u32 i = 0; i < info->mem_count; i++) {
		u64 start = usable_start(&info->mem[i]), end = usable_end(&info->mem[i]);

		if (start == end)
			continue;
		add_range((struct frame_range){
			.start = start, .end = end, .next = start, .top = end, .used = metadata });
		metadata += ALIGN_UP((end - start) >> PAGE_SHIFT, 64ul);
		mm()->total += (end - start) >> PAGE_SHIFT;
	}
	mm()->ranges[0].top -= bytes;
	mm()->boot_frames = bytes >> PAGE_SHIFT;
	mm()->untouched = mm()->total - mm()->boot_frames;
	mm()->cpu_count = info->cpu_count;
	/* All magazines together hold at most a sixteenth of the memory. */
	mm()->magazine_max = (u32)MAX(2u, MIN(MAGAZINE_FRAMES, mm()->total / (16 * (u64)info->cpu_count)));
	spinlock_init(&mm()->frame_lock, RANK_FRAME, 0);
	pools_init();
}

void frames_boot_done(void)
{
	mm()->inject = fault_inject_alloc != NULL;
}

void *frames_boot_alloc(size_t bytes)
{
	struct frame_range *range = &mm()->ranges[0];
	u64 size = ALIGN_UP(MAX(bytes, (size_t)1), PAGE_BYTES);
	void *memory;

	spin_lock(&mm()->frame_lock);
	if (range->top - range->next < size)
		panic("boot memory used up: %lu bytes wanted", (unsigned long)bytes);
	range->top -= size;
	mm()->boot_frames += size >> PAGE_SHIFT;
	mm()->untouched -= size >> PAGE_SHIFT;
	memory = phys_to_virt((struct paddr){ range->top });
	spin_unlock(&mm()->frame_lock);
	memset(memory, 0, size);
	return memory;
}

/* --- the global part ----------------------------------------------------------------------------------------------- */

/* Debug: a free frame is a pattern; a write through a stale pointer shows when the frame is given out again. */
static void pattern_put(u64 frame)
{
	u64 *word = phys_to_virt((struct paddr){ frame });

	for (u32 i = 0; CAPOS_DEBUG && i < PAGE_BYTES / 8; i++)
		word[i] = FREE_PATTERN;
	mm_poison(word, PAGE_BYTES);
}

static u64 take_untouched(void)
{
	for (u32 i = 0; i < mm()->range_count; i++) {
		struct frame_range *range = &mm()->ranges[i];

		if (range->next < range->top) {
			range->next += PAGE_BYTES;
			mm()->untouched--;
			pattern_put(range->next - PAGE_BYTES);
			return range->next - PAGE_BYTES;
		}
	}
	return 0;
}

/* Under frame_lock. 0: none. */
static u64 global_take(void)
{
	u64 frame = mm()->free_head;
	u64 *link;

	if (frame == 0)
		return take_untouched();
	link = phys_to_virt((struct paddr){ frame });
	mm_unpoison(link, sizeof(*link));
	mm()->free_head = *link;
	mm()->free_count--;
	if (CAPOS_DEBUG)
		*link = FREE_PATTERN;
	return frame;
}

/* Under frame_lock. */
static void global_give(u64 frame)
{
	u64 *link = phys_to_virt((struct paddr){ frame });

	mm_unpoison(link, sizeof(*link));
	*link = mm()->free_head;
	mm()->free_head = frame;
	mm()->free_count++;
}

static __attribute__((noinline)) u8 *used_byte_of_others(u64 frame)
{
	for (u32 i = 1; i < mm()->range_count; i++) {
		struct frame_range *range = &mm()->ranges[i];

		if (frame >= range->start && frame < range->top)
			return &range->used[(frame - range->start) >> PAGE_SHIFT];
	}
	panic("no frame at %#lx", (unsigned long)frame);
}

/* Most frames are of the largest range. */
static inline u8 *used_byte(u64 frame)
{
	const struct frame_range *largest = &mm()->ranges[0];

	if (likely(frame >= largest->start && frame < largest->top))
		return &largest->used[(frame - largest->start) >> PAGE_SHIFT];
	return used_byte_of_others(frame);
}

/* The frame goes into use or out of it; together with its move from or to a list (FR1). */
static inline __attribute__((always_inline)) void account(struct magazine *magazine, u64 frame, bool use)
{
	u8 *used = used_byte(frame);

	KASSERT(*used == (use ? 0 : 1)); /* given out twice, or freed twice */
	*used = use ? 1 : 0;
	if (magazine != NULL)
		magazine->in_use += use ? 1 : -1;
	else
		mm()->early_in_use += use ? 1 : -1;
}

static u64 take(struct magazine *magazine)
{
	u64 frame = 0;

	if (magazine != NULL && magazine->count > 0) {
		frame = magazine->frame[--magazine->count];
		account(magazine, frame, true);
		return frame;
	}
	spin_lock(&mm()->frame_lock);
	frame = global_take();
	if (frame != 0)
		account(magazine, frame, true);
	while (magazine != NULL && frame != 0 && magazine->count < mm()->magazine_max / 2) {
		u64 more = global_take();

		if (more == 0)
			break;
		magazine->frame[magazine->count++] = more;
	}
	spin_unlock(&mm()->frame_lock);
	return frame;
}

static void give(struct magazine *magazine, u64 frame)
{
	if (magazine != NULL && magazine->count < mm()->magazine_max) {
		account(magazine, frame, false);
		magazine->frame[magazine->count++] = frame;
		return;
	}
	MEASURE_SITE(mach_this_cpu(), shared_kernel_lock_frame_free);
	spin_lock(&mm()->frame_lock);
	account(magazine, frame, false);
	global_give(frame);
	while (magazine != NULL && magazine->count > mm()->magazine_max / 2)
		global_give(magazine->frame[--magazine->count]);
	spin_unlock(&mm()->frame_lock);
}

/* --- frames -------------------------------------------------------------------------------------------------------- */

static void pattern_check(u64 frame)
{
	const u64 *word = phys_to_virt((struct paddr){ frame });

	mm_unpoison(phys_to_virt((struct paddr){ frame }), PAGE_BYTES);
	for (u32 i = 0; CAPOS_DEBUG && i < PAGE_BYTES / 8; i++) {
		if (word[i] != FREE_PATTERN)
			panic("frame %#lx was written to while free: word %u", (unsigned long)frame, (unsigned)i);
	}
}

static bool frame_is_zero(u64 frame)
{
	const u64 *word = phys_to_virt((struct paddr){ frame });

	for (u32 i = 0; i < PAGE_BYTES / 8; i++) {
		if (word[i] != 0)
			return false;
	}
	return true;
}

static bool alloc_refused(void)
{
	no_alloc_check();
	return alloc_must_fail();
}

/* One of undefined content; 0: none. */
static inline u64 any_take(struct magazine *magazine)
{
	u64 frame = take(magazine);

	if (likely(frame != 0)) {
		pattern_check(frame);
		mach_frame_reuse((struct paddr){ frame });
	}
	return frame;
}

/* One of those that are known to be zero; 0: none. */
static inline u64 zero_take(struct magazine *magazine)
{
	u64 frame;

	if (magazine == NULL || magazine->zero_count == 0)
		return 0;
	frame = magazine->zero[--magazine->zero_count];
	account(magazine, frame, true);
	mm_unpoison(phys_to_virt((struct paddr){ frame }), PAGE_BYTES);
	KASSERT(!CAPOS_DEBUG || frame_is_zero(frame)); /* else it was written to while free */
	mach_frame_reuse((struct paddr){ frame });
	return frame;
}

bool frame_alloc(struct paddr *out)
{
	struct magazine *magazine = magazine_here();
	u64 frame;

	if (alloc_refused())
		return false;
	frame = any_take(magazine);
	if (unlikely(frame == 0))
		frame = zero_take(magazine);
	*out = (struct paddr){ frame };
	return frame != 0;
}

bool frame_alloc_zeroed(struct paddr *out)
{
	struct magazine *magazine = magazine_here();
	u64 frame;

	if (alloc_refused())
		return false;
	frame = zero_take(magazine);
	if (frame == 0) {
		frame = any_take(magazine);
		if (unlikely(frame == 0))
			return false;
		mach_clear(phys_to_virt((struct paddr){ frame }), PAGE_BYTES);
	}
	*out = (struct paddr){ frame };
	return true;
}

void frame_free_zero(struct paddr frame)
{
	struct magazine *magazine = magazine_here();

	KASSERT(!CAPOS_DEBUG || frame_is_zero(frame.pa));
	if (magazine == NULL || magazine->zero_count >= MIN(MAGAZINE_ZERO, mm()->magazine_max)) {
		frame_free(frame);
		return;
	}
	account(magazine, frame.pa, false);
	mm_poison(phys_to_virt(frame), PAGE_BYTES);
	magazine->zero[magazine->zero_count++] = frame.pa;
}

void frame_free(struct paddr frame)
{
	KASSERT(frame.pa % PAGE_BYTES == 0 && (!CAPOS_DEBUG || *used_byte(frame.pa) == 1));
	pattern_put(frame.pa);
	give(magazine_here(), frame.pa);
}

u64 frames_total(void)
{
	return mm()->total;
}

/* A snapshot: other CPUs' magazines change meanwhile. */
static u64 count_magazines(i64 *in_use)
{
	u64 frames = 0;

	*in_use = mm()->early_in_use;
	for (u32 i = 0; i < mm()->cpu_count; i++) {
		frames += mm()->magazines[i].count + mm()->magazines[i].zero_count;
		*in_use += mm()->magazines[i].in_use;
	}
	return frames;
}

u64 frames_free_count(void)
{
	i64 in_use;

	return mm()->untouched + mm()->free_count + count_magazines(&in_use);
}

void frames_verify(void)
{
	u64 marked = 0, listed = 0;
	i64 in_use;

	if (!CAPOS_DEBUG || !spin_trylock(&mm()->frame_lock))
		return;
	KVERIFY(mm()->untouched + mm()->free_count + count_magazines(&in_use) + (u64)in_use + mm()->boot_frames ==
		mm()->total); /* FR1 */
	for (u32 i = 0; i < mm()->range_count; i++) {
		const struct frame_range *range = &mm()->ranges[i];

		for (u64 frame = 0; frame < (range->next - range->start) >> PAGE_SHIFT; frame++)
			marked += range->used[frame];
	}
	KVERIFY(marked == (u64)in_use);
	for (u64 frame = mm()->free_head; frame != 0; listed++) {
		KVERIFY(listed < mm()->free_count && *used_byte(frame) == 0);
		frame = *(const u64 *)phys_to_virt((struct paddr){ frame });
	}
	KVERIFY(listed == mm()->free_count);
	spin_unlock(&mm()->frame_lock);
}
