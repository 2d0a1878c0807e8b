/* SPDX-License-Identifier: MIT */
/*
 * Entry of the boot CPU, from PVH (ebx = start_info) or Multiboot2 (eax = magic, ebx = information): 32-bit protected
 * mode, paging off. Builds first tables that map the low 4 GiB at 0, at the direct map and (1 GiB) at KERNEL_BASE,
 * enters long mode and calls boot_main(eax, ebx) on the boot stack. Touches no memory outside the image.
 */
#include <mach/offsets.h>

#define PHYS(symbol) ((symbol) - KERNEL_BASE)

	.section .note.pvh, "a", @note
	.balign 4
	.long 4, 8, 18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.quad boot_entry

	.section .multiboot, "a"
	.balign 8
multiboot_header:
	.long 0xe85250d6, 0, multiboot_end - multiboot_header
	.long -(0xe85250d6 + (multiboot_end - multiboot_header))
	.short 3, 0			/* entry address */
	.long 12, boot_entry, 0
	.short 6, 0			/* modules on page boundaries */
	.long 8
	.short 0, 0
	.long 8
multiboot_end:

	.section .boot.text, "ax"
	.code32
	.globl boot_entry
boot_entry:
	cli
	cld
	movl %eax, %esi
	movl %ebx, %edi
	movl $PHYS(boot_stack_top), %esp
	movl $0x80000000, %eax
	cpuid
	cmpl $0x80000001, %eax
	jb boot_no_long_mode
	movl $0x80000001, %eax
	cpuid
	andl $(1 << 29 | 1 << 20), %edx	/* long mode, NX */
	cmpl $(1 << 29 | 1 << 20), %edx
	jne boot_no_long_mode

	/* Four directories of 2 MiB pages. */
	movl $PHYS(early_directories), %ebx
	movl $0x83, %eax
	movl $2048, %ecx
1:	movl %eax, (%ebx)
	movl $0, 4(%ebx)
	addl $0x200000, %eax
	addl $8, %ebx
	decl %ecx
	jnz 1b
	/* Pointers to them, low and at the top. */
	movl $PHYS(early_directories) + 3, %eax
	movl $PHYS(early_pointers), %ebx
	movl $4, %ecx
1:	movl %eax, (%ebx)
	addl $4096, %eax
	addl $8, %ebx
	decl %ecx
	jnz 1b
	movl $PHYS(early_directories) + 3, PHYS(early_pointers_top) + 510 * 8
	movl $PHYS(early_pointers) + 3, PHYS(early_root)
	movl $PHYS(early_pointers) + 3, PHYS(early_root) + 256 * 8
	movl $PHYS(early_pointers_top) + 3, PHYS(early_root) + 511 * 8

	movl $PHYS(early_root), %eax
	movl %eax, %cr3
	movl $0x20, %eax		/* PAE */
	movl %eax, %cr4
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x901, %eax		/* NXE, LME, SCE */
	wrmsr
	movl $0x80010033, %eax		/* PG, WP, NE, ET, MP, PE */
	movl %eax, %cr0
	lgdt boot_gdtr
	ljmp $SEL_KERNEL_CODE, $boot_long

boot_no_long_mode:
	movw $0x3f8, %dx
	movl $boot_no_long_mode_text, %ecx
1:	movb (%ecx), %al
	testb %al, %al
	jz 2f
	outb %al, %dx
	incl %ecx
	jmp 1b
2:	movw $0xf4, %dx
	movl $0x12, %eax
	outl %eax, %dx
3:	hlt
	jmp 3b

	.code64
boot_long:
	movabsq $boot_high, %rax
	jmp *%rax

	.section .boot.data, "a"
	.balign 8
boot_gdt:
	.quad 0
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
boot_gdtr:
	.short 23
	.quad boot_gdt
boot_no_long_mode_text:
	.asciz "capOS: this CPU has no long mode or no NX\r\n"

	.section .text.entry, "ax"
boot_high:
	movl $SEL_KERNEL_DATA, %eax
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %fs
	movl %eax, %gs
	movq $boot_stack_top, %rsp
	xorl %ebp, %ebp
	movl %edi, %eax
	movl %esi, %edi
	movl %eax, %esi
	call boot_main
	jmp resume_thread

	.section .bss
	.balign 4096
	.globl boot_stack_guard, boot_stack_top
boot_stack_guard:
	.skip 4096
	.skip BOOT_STACK_BYTES
boot_stack_top:
early_root:
	.skip 4096
early_pointers:
	.skip 4096
early_pointers_top:
	.skip 4096
early_directories:
	.skip 4 * 4096

	.section .note.GNU-stack, "", @progbits
