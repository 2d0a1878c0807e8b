/* SPDX-License-Identifier: MIT */
/*
 * The few ACPI facts the machine needs: CPUs and interrupt controllers (MADT), power-management ports (FADT).
 * Tables are read once, through the early map, before the final page tables. Lengths and checksums are checked; what
 * is broken is as if absent.
 */
#include "mach_priv.h"

#include <string.h>

#define CPUS_MAX 4096u /* of boot_info */
#define TABLE_BYTES_MAX (1u << 20)

struct table {
	char signature[4];
	u32 bytes;
	u8 revision;
	u8 checksum;
	char oem[6 + 8 + 4 + 4 + 4];
} __attribute__((packed));

struct acpi acpi;

static bool sum_ok(const void *data, u64 bytes)
{
	u8 sum = 0;

	for (u64 i = 0; i < bytes; i++)
		sum = (u8)(sum + ((const u8 *)data)[i]);
	return sum == 0;
}

static u64 read_le(const u8 *p, u32 bytes)
{
	u64 value = 0;

	memcpy(&value, p, bytes);
	return value;
}

static const struct table *table_at(u64 pa)
{
	const struct table *table = early_at(pa, sizeof(*table));

	if (table == NULL || table->bytes < sizeof(*table) || table->bytes > TABLE_BYTES_MAX ||
	    early_at(pa, table->bytes) == NULL || !sum_ok(table, table->bytes))
		return NULL;
	return table;
}

/* Root pointer in the BIOS areas, for loaders that give none. */
static const u8 *rsdp_scan(void)
{
	u64 ebda = (u64) * (const u16 *)early_at(0x40e, 2) << 4;

	for (u32 pass = 0; pass < 2; pass++) {
		u64 start = pass == 0 ? MAX(ebda, 0x400ull) : 0xe0000;
		u64 end = pass == 0 ? MIN(start + 1024, 0xa0000ull) : 0x100000;

		for (u64 pa = ALIGN_UP(start, 16ull); pa + 36 <= end; pa += 16) {
			const u8 *p = early_at(pa, 36);

			if (memcmp(p, "RSD PTR ", 8) == 0 && sum_ok(p, 20))
				return p;
		}
	}
	return NULL;
}

static const struct table *find_table(const u8 *rsdp, u32 rsdp_bytes, const char *signature)
{
	const struct table *root = NULL;
	u32 entry_bytes = 8;

	if (rsdp[15] >= 2 && rsdp_bytes >= 36 && sum_ok(rsdp, 36)) {
		root = table_at(read_le(rsdp + 24, 8));
		if (root != NULL && memcmp(root->signature, "XSDT", 4) != 0)
			root = NULL;
	}
	if (root == NULL) {
		entry_bytes = 4;
		root = table_at(read_le(rsdp + 16, 4));
		if (root == NULL || memcmp(root->signature, "RSDT", 4) != 0)
			return NULL;
	}
	for (u32 at = sizeof(*root); at + entry_bytes <= root->bytes; at += entry_bytes) {
		const struct table *table = table_at(read_le((const u8 *)root + at, entry_bytes));

		if (table != NULL && memcmp(table->signature, signature, 4) == 0)
			return table;
	}
	return NULL;
}

static void add_cpu(u32 apic_id)
{
	for (u32 i = 0; i < acpi.cpu_count; i++) {
		if (acpi.apic_ids[i] == apic_id)
			return;
	}
	if (acpi.cpu_count < CPUS_MAX)
		acpi.apic_ids[acpi.cpu_count++] = apic_id;
}

static void add_ioapic(const u8 *entry)
{
	if (acpi.ioapic_count == IOAPICS_MAX)
		return;
	acpi.ioapics[acpi.ioapic_count].base = read_le(entry + 4, 4);
	acpi.ioapics[acpi.ioapic_count].gsi = (u32)read_le(entry + 8, 4);
	acpi.ioapic_count++;
}

/* One MADT entry of entry[1] bytes, all of which are inside the table. */
static void read_madt_entry(const u8 *entry)
{
	u32 bytes = entry[1];

	switch (entry[0]) {
	case 0: /* CPU, 8-bit id; flags bit 0: enabled */
		if (bytes >= 8 && (entry[4] & 1) != 0 && entry[3] != 0xff)
			add_cpu(entry[3]);
		break;
	case 1:
		if (bytes >= 12)
			add_ioapic(entry);
		break;
	case 2: /* interrupt source override */
		if (bytes >= 10 && entry[2] == 0 && entry[3] == 4) {
			acpi.serial_gsi = (u32)read_le(entry + 4, 4);
			acpi.serial_flags = (u16)read_le(entry + 8, 2);
		}
		break;
	case 9: /* CPU, 32-bit id */
		if (bytes >= 16 && (entry[8] & 1) != 0)
			add_cpu((u32)read_le(entry + 4, 4));
		break;
	default: /* 5, an address of the local APIC above 4 GiB, agrees with its MSR, which is what we use */
		break;
	}
}

static void read_madt(const struct table *madt)
{
	const u8 *base = (const u8 *)madt;

	for (u32 at = sizeof(*madt) + 8; at + 2 <= madt->bytes; at += base[at + 1]) {
		if (base[at + 1] < 2 || base[at + 1] > madt->bytes - at)
			break;
		read_madt_entry(base + at);
	}
}

static void read_fadt(const struct table *fadt)
{
	const u8 *base = (const u8 *)fadt;

	if (fadt->bytes < 116)
		return;
	acpi.pm1_control_port = (u16)read_le(base + 64, 4);
	acpi.pm_timer_port = (u16)read_le(base + 76, 4);
	acpi.pm_timer_32 = (read_le(base + 112, 4) & 0x100) != 0;
}

void acpi_init(const struct loader *loader, u32 boot_apic_id)
{
	const u8 *rsdp = loader->rsdp;
	u32 rsdp_bytes = loader->rsdp_bytes;
	const struct table *madt = NULL, *fadt = NULL;

	acpi.serial_gsi = 4;
	if (rsdp_bytes < 20 || memcmp(rsdp, "RSD PTR ", 8) != 0 || !sum_ok(rsdp, 20)) {
		rsdp = rsdp_scan();
		rsdp_bytes = 36;
	}
	if (rsdp != NULL) {
		madt = find_table(rsdp, rsdp_bytes, "APIC");
		fadt = find_table(rsdp, rsdp_bytes, "FACP");
	}
	/* An entry of a CPU takes at least 8 bytes. */
	acpi.apic_ids = phys_to_virt(boot_alloc(sizeof(u32) * (1 + (madt != NULL ? madt->bytes / 8 : 0))));
	add_cpu(boot_apic_id);
	if (madt != NULL)
		read_madt(madt);
	else
		say("capOS: no ACPI MADT: one CPU, no I/O APIC\n");
	if (fadt != NULL)
		read_fadt(fadt);
}
