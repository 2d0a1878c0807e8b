/* SPDX-License-Identifier: MIT */
/*
 * Address spaces: windows of host addresses, the mirror of leaf entries in them, and stale translations.
 *
 * The core's tables are the truth; a present leaf is mirrored by mapping the frame's page of the memory file at the
 * user address, with its protection. A CPU that has a space loaded when a present leaf is replaced is taken to hold
 * the old translation until it flushes the page, flushes all, or loads another space (SPACE1); a frame may be given
 * to a new owner only when nobody holds one of it (SPACE2).
 */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

#define WINDOWS_MAX 8192u

static u64 windows_used[WINDOWS_MAX / 64];
static u32 *frame_stale; /* per frame: stale translations on all CPUs */

void sim_space_init(void)
{
	frame_stale = calloc(sim_memory_bytes >> PAGE_SHIFT, sizeof(*frame_stale));
	if (frame_stale == NULL)
		sim_die(SIM_EXIT_ERROR, "no host memory");
}

void sim_space_fini(void)
{
	for (u32 window = 0; window < WINDOWS_MAX; window++) {
		if ((windows_used[window / 64] >> window % 64 & 1) != 0)
			host_unmap(SIM_WINDOWS_BASE + window * SIM_WINDOW_BYTES, SIM_WINDOW_BYTES);
	}
	free(frame_stale);
}

/* --- stale translations --------------------------------------------------------------------------------------- */

static void stale_add(struct vcpu *cpu, u64 va, u64 frame)
{
	if (cpu->stale_count == cpu->stale_room) {
		cpu->stale_room = cpu->stale_room == 0 ? 64 : 2 * cpu->stale_room;
		cpu->stale = realloc(cpu->stale, cpu->stale_room * sizeof(*cpu->stale));
		if (cpu->stale == NULL)
			sim_die(SIM_EXIT_ERROR, "no host memory");
	}
	cpu->stale[cpu->stale_count++] = (struct sim_stale){ va, frame };
	frame_stale[frame >> PAGE_SHIFT]++;
}

static void stale_forget(struct vcpu *cpu, u64 first_va, u64 last_va)
{
	u32 kept = 0;

	for (u32 i = 0; i < cpu->stale_count; i++) {
		struct sim_stale stale = cpu->stale[i];
		if (stale.va >= first_va && stale.va <= last_va)
			frame_stale[stale.frame >> PAGE_SHIFT]--;
		else
			cpu->stale[kept++] = stale;
	}
	cpu->stale_count = kept;
}

static void stale_record(const struct mach_space *space, u64 va, u64 frame)
{
	u32 left = space->loads;

	for (u32 i = 0; i < sim.cpu_count && left > 0; i++) {
		if (sim.cpus[i].space == space) {
			stale_add(&sim.cpus[i], va, frame);
			left--;
		}
	}
}

void mach_frame_reuse(struct paddr frame)
{
	sim_stores_drain();
	if (frame.pa >= sim_memory_bytes || frame.pa % PAGE_BYTES != 0)
		sim_die(SIM_EXIT_ERROR, "mach_frame_reuse: no frame %#llx", (unsigned long long)frame.pa);
	if (likely(frame_stale[frame.pa >> PAGE_SHIFT] == 0))
		return;
	for (u32 i = 0; i < sim.cpu_count; i++) {
		const struct vcpu *cpu = &sim.cpus[i];
		for (u32 k = 0; k < cpu->stale_count; k++) {
			if (cpu->stale[k].frame == frame.pa)
				sim_die(MACH_EXIT_PANIC,
					"stale translation: CPU %u may still reach frame %#llx at user address %#llx",
					i, (unsigned long long)frame.pa, (unsigned long long)cpu->stale[k].va);
		}
	}
}

/* --- the mirror ----------------------------------------------------------------------------------------------- */

u64 sim_space_walk(const struct mach_space *space, u64 va)
{
	struct paddr table;

	if (space == NULL || va < space->user_base || va - space->user_base >= MACH_USER_BYTES)
		return 0;
	table = space->root;
	for (u32 shift = 39;; shift -= 9) {
		u64 pte = ((const u64 *)phys_to_virt(table))[va >> shift & 511];
		if (!pte_present(pte))
			return 0;
		if (shift == PAGE_SHIFT)
			return pte;
		table = pte_paddr(pte);
	}
}

static void check_host(bool ok, const char *what, u64 va)
{
	if (!ok)
		sim_die(SIM_EXIT_ERROR, "host %s of user page %#llx: %s (vm.max_map_count?)", what,
			(unsigned long long)va, strerror(errno));
}

void mach_space_changed(struct mach_space *space, struct uaddr va, u64 old_pte, u64 new_pte)
{
	u64 page = va.va & ~(PAGE_BYTES - 1);

	sim_point(SIM_COST_CALL);
	if (page < space->user_base || page - space->user_base >= MACH_USER_BYTES)
		sim_die(SIM_EXIT_ERROR, "mach_space_changed: %#llx is outside the space", (unsigned long long)page);
	bool write = (pte_prot(new_pte) & PROT_WRITE) != 0;
	bool execute = (pte_prot(new_pte) & PROT_EXEC) != 0;
	bool same_frame =
		pte_present(old_pte) && pte_present(new_pte) && pte_paddr(old_pte).pa == pte_paddr(new_pte).pa;
	if (pte_present(old_pte) && !same_frame)
		stale_record(space, page, pte_paddr(old_pte).pa);
	if (same_frame) {
		check_host(host_protect(page, PAGE_BYTES, write, execute), "mprotect", page);
	} else if (pte_present(new_pte)) {
		if (pte_paddr(new_pte).pa >= sim_memory_bytes)
			sim_die(SIM_EXIT_ERROR, "mach_space_changed: no frame %#llx",
				(unsigned long long)pte_paddr(new_pte).pa);
		check_host(host_map_file(page, PAGE_BYTES, sim_memory_fd, pte_paddr(new_pte).pa, write, execute),
			   "mmap", page);
	} else if (pte_present(old_pte)) {
		check_host(host_unmap(page, PAGE_BYTES), "munmap", page);
	}
}

/* --- spaces --------------------------------------------------------------------------------------------------- */

void mach_space_init(struct mach_space *space, struct paddr root)
{
	u32 window = 0;

	while (window < WINDOWS_MAX && (windows_used[window / 64] >> window % 64 & 1) != 0)
		window++;
	if (window == WINDOWS_MAX)
		sim_die(SIM_EXIT_ERROR, "more than %u address spaces", WINDOWS_MAX);
	windows_used[window / 64] |= 1ull << window % 64;
	space->window = window;
	space->root = root;
	space->loads = 0;
	space->user_base = SIM_WINDOWS_BASE + window * SIM_WINDOW_BYTES;
}

void mach_space_load(struct mach_space *space)
{
	struct vcpu *cpu = sim.current;

	sim_point(SIM_COST_CALL);
	if (cpu->space == space)
		return;
	stale_forget(cpu, 0, ~0ull);
	if (cpu->space != NULL)
		cpu->space->loads--;
	cpu->space = space;
	if (space != NULL)
		space->loads++;
}

void mach_tlb_flush_page(struct mach_space *space, struct uaddr va)
{
	struct vcpu *cpu = sim.current;

	sim_point(SIM_COST_CALL);
	sim_stores_drain();
	if (cpu->space == space)
		stale_forget(cpu, va.va & ~(PAGE_BYTES - 1), va.va | (PAGE_BYTES - 1));
}

void mach_tlb_flush_space(struct mach_space *space)
{
	struct vcpu *cpu = sim.current;

	sim_point(SIM_COST_CALL);
	sim_stores_drain();
	if (cpu->space == space)
		stale_forget(cpu, 0, ~0ull);
}

void mach_space_fini(struct mach_space *space)
{
	sim_point(SIM_COST_CALL);
	if (space->loads != 0)
		sim_die(SIM_EXIT_ERROR, "mach_space_fini: still loaded on %u CPUs", space->loads);
	check_host(host_unmap(space->user_base, SIM_WINDOW_BYTES), "munmap", space->user_base);
	windows_used[space->window / 64] &= ~(1ull << space->window % 64);
}
