/* SPDX-License-Identifier: MIT */
/* Inside the boot room. */
#ifndef BOOT_PRIV_H
#define BOOT_PRIV_H

#include <kernel/manifest.h>

struct boot_info;
struct cpu;

/* files.c: the archive of this boot, checked; refuses what is broken. */
void boot_read_archive(const struct boot_info *info);
/* The manifest in it, parsed; refuses what is broken. */
const struct manifest *boot_read_manifest(u32 cpu_count);

/* processes.c: make the processes of the manifest, with their exports, and start them; refuses what can't be made. */
void boot_start_processes(struct cpu *cpu, const struct manifest *manifest);

/* cpus.c: records of all CPUs, the boot CPU's made current; then start the others. */
void boot_make_cpus(const struct boot_info *info);
void boot_start_cpus(void);
/* A line or two: packages, cores, threads, last-level caches. */
void boot_print_topology(void);

/* options.c: act on the command line. */
void boot_options(const char *cmdline);

#endif
