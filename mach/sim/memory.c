/* SPDX-License-Identifier: MIT */
/*
 * "Physical" memory, the gate page, and what the core is told at boot.
 *
 * Layout: 1 MiB reserved (so frame 0 is never valid), usable memory with a reserved hole in its middle, and the boot
 * archive on the last pages.
 */
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host.h"

#ifdef SIM_ASAN
#include <sanitizer/asan_interface.h>
#endif

#define LOW_BYTES (1ull << 20)
#define HOLE_BYTES (64ull << 10)
#define WALL_CLOCK_NS 1767225600000000000ull /* 2026-01-01 */

int sim_memory_fd;
u64 sim_memory_bytes;

static struct mem_range ranges[5];
static struct cpu_desc descs[SIM_CPUS_MAX];

static u64 read_archive(u64 *bytes)
{
	struct stat st;
	int fd = open(sim_options.archive, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0)
		sim_die(SIM_EXIT_ERROR, "%s: %s", sim_options.archive, strerror(errno));
	*bytes = (u64)st.st_size;
	u64 span = ALIGN_UP(*bytes, (u64)PAGE_BYTES);
	if (span + LOW_BYTES + (4ull << 20) > sim_memory_bytes)
		sim_die(SIM_EXIT_ERROR, "%s does not fit into %u MiB of memory", sim_options.archive,
			sim_options.mem_mib);
	u64 start = sim_memory_bytes - span;
	u8 *to = phys_to_virt((struct paddr){ start });
	for (u64 got = 0; got < *bytes;) {
		ssize_t n = read(fd, to + got, *bytes - got);
		if (n <= 0)
			sim_die(SIM_EXIT_ERROR, "%s: %s", sim_options.archive, strerror(errno));
		got += (u64)n;
	}
	close(fd);
	return start;
}

static void make_topology(struct boot_info *info)
{
	static const u32 threads_drawn[] = { 1, 1, 2 };
	u32 packages = sim_options.topology[0] != 0 ? sim_options.topology[0] : 1 + (u32)sim_random_below(2);
	u32 threads = sim_options.topology[2] != 0 ? sim_options.topology[2] : threads_drawn[sim_random_below(3)];
	u32 cores = sim_options.topology[1];

	if (cores == 0)
		cores = MAX(1u, (sim_options.cpus + packages * threads - 1) / (packages * threads));
	u32 llc_cores = sim_chance(2) ? cores : MAX(1u, cores / 2);
	u32 stride = 1;
	while (stride < cores * threads)
		stride *= 2;
	for (u32 i = 0; i < sim_options.cpus; i++) {
		u32 package = i / (cores * threads);
		u32 core = i / threads % cores;
		descs[i] = (struct cpu_desc){
			.apic_id = package * stride + i % (cores * threads),
			.package = package,
			.llc = package * ((cores + llc_cores - 1) / llc_cores) + core / llc_cores,
			.core = package * cores + core,
			.smt = i % threads,
		};
	}
	info->cpus = descs;
	info->cpu_count = sim_options.cpus;
}

/* A read-only page of function addresses, then the page of the credit. */
static void make_gate(void)
{
	void (**gate)(void) = (void (**)(void))SIM_GATE_BASE;

	if (!host_map_fixed(SIM_GATE_BASE, 2 * PAGE_BYTES))
		sim_die(SIM_EXIT_ERROR, "host memory for the gate: %s", strerror(errno));
	gate[0] = sim_gate_syscall;
	gate[1] = sim_gate_hook;
	gate[2] = sim_gate_clock;
	if (!host_protect(SIM_GATE_BASE, PAGE_BYTES, false, false))
		sim_die(SIM_EXIT_ERROR, "host memory for the gate: %s", strerror(errno));
}

void sim_memory_init(struct boot_info *info)
{
	u64 archive_bytes = 0, archive;

	sim_memory_bytes = (u64)sim_options.mem_mib << 20;
	sim_memory_fd = host_memory_file(sim_memory_bytes);
	if (sim_memory_fd < 0 || !host_map_fixed(SIM_PHYS_BASE, sim_memory_bytes) ||
	    !host_map_file(SIM_PHYS_BASE, sim_memory_bytes, sim_memory_fd, 0, true, false))
		sim_die(SIM_EXIT_ERROR, "host memory for %u MiB: %s", sim_options.mem_mib, strerror(errno));
	make_gate();
	archive = sim_memory_bytes;
	if (sim_options.archive != NULL)
		archive = read_archive(&archive_bytes);

	u64 hole = ALIGN_DOWN((LOW_BYTES + archive) / 2, (u64)PAGE_BYTES);
	u32 n = 0;
	ranges[n++] = (struct mem_range){ 0, LOW_BYTES, MEM_RESERVED };
	ranges[n++] = (struct mem_range){ LOW_BYTES, hole - LOW_BYTES, MEM_USABLE };
	ranges[n++] = (struct mem_range){ hole, HOLE_BYTES, MEM_RESERVED };
	ranges[n++] = (struct mem_range){ hole + HOLE_BYTES, archive - hole - HOLE_BYTES, MEM_USABLE };
	if (archive_bytes != 0)
		ranges[n++] = (struct mem_range){ archive, ALIGN_UP(archive_bytes, (u64)PAGE_BYTES), MEM_ARCHIVE };
	info->mem = ranges;
	info->mem_count = n;
	info->archive = (struct paddr){ archive_bytes != 0 ? archive : 0 };
	info->archive_bytes = archive_bytes;
	make_topology(info);
	info->cmdline = sim_options.cmdline != NULL ? sim_options.cmdline : "";
	info->machine = "sim";
	info->wall_clock_ns = WALL_CLOCK_NS;
	info->clock_hz = 1000000000;
}

void sim_memory_fini(void)
{
#ifdef SIM_ASAN
	__asan_unpoison_memory_region((void *)SIM_PHYS_BASE, sim_memory_bytes);
#endif
	host_unmap(SIM_PHYS_BASE, sim_memory_bytes);
	host_unmap(SIM_GATE_BASE, 2 * PAGE_BYTES);
	close(sim_memory_fd);
}
