# SPDX-License-Identifier: MIT
#
# capOS: build, run, test. `make help` lists the commands; docs/BUILDING.md says how the tree is built.

# --- what the user may say ------------------------------------------------------------------------------------------

# BUILD=release (default), debug or measure. The simulator's build is debug unless BUILD is given.
BUILD     ?= release
SIM_BUILD := $(if $(filter command environment,$(firstword $(origin BUILD))),$(BUILD),debug)
CPUS      ?=
MEM       ?= 128M
MANIFEST  ?=
SEED      ?=
SEEDS     ?=
SECONDS   ?= 60
FULL      ?=
JOBS      ?= 1
CALLS     ?= 1000000
V         ?=

ifeq ($(origin CC),default)
CC := gcc
endif
LD      := ld
AR      := ar
STRIP   := strip
OBJCOPY := objcopy
CLANG   := clang-19
DTC     := dtc

ifeq ($(filter $(BUILD),release debug measure),)
$(error BUILD is release, debug or measure, not '$(BUILD)')
endif

MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

Q   := $(if $(V),,@)
say  = $(if $(V),,@echo "  $(1)	$(2)")

# --- where things are -----------------------------------------------------------------------------------------------

K := build/$(BUILD)
# Programs are not measured: the measure build has those of the release build.
U := build/$(subst measure,release,$(BUILD))
S := build/sim/$(SIM_BUILD)

kernel_src   := $(sort $(wildcard kernel/*/*.c) $(wildcard lib/*.c))
x86_src      := $(sort $(wildcard mach/x86_64/*.c mach/x86_64/*.S))
sim_src      := $(sort $(wildcard mach/sim/*.c mach/sim/*.S tests/sim/*.c))
user_lib_src := $(sort $(wildcard user/lib/*.c user/lib/*.S lib/*.c))
user_x86_src := $(sort $(wildcard user/lib/x86_64/*.c user/lib/x86_64/*.S))
user_sim_src := $(sort $(wildcard user/lib/sim/*.c user/lib/sim/*.S))
manifests    := $(patsubst manifests/%.dts,%,$(sort $(wildcard manifests/*.dts)))

# One file, one program; or a folder of several files.
program_rooms := bin svc proofs
program_files := $(sort $(foreach room,$(program_rooms),$(wildcard user/$(room)/*.c)))
program_dirs  := $(sort $(foreach room,$(program_rooms),$(patsubst %/,%,$(dir $(wildcard user/$(room)/*/*.c)))))
programs      := $(notdir $(basename $(program_files)) $(program_dirs))
ifneq ($(words $(programs)),$(words $(sort $(programs))))
$(error two programs have one name: $(sort $(foreach p,$(programs),$(if $(filter-out 1,$(words $(filter $(p),$(programs)))),$(p)))))
endif
# The sources of program $(1).
program_src = $(filter %/$(1).c,$(program_files)) $(foreach d,$(filter %/$(1),$(program_dirs)),$(wildcard $(d)/*.c))

obj = $(addprefix $(1)/,$(addsuffix .o,$(basename $(2))))

# --- flags ----------------------------------------------------------------------------------------------------------

warnings := -Wall -Wextra -Wconversion -Wshadow -Wmissing-prototypes -Werror
common   := -std=gnu17 -g -ffile-prefix-map=$(CURDIR)/= $(warnings)

build_defs_release :=
build_defs_debug   := -DCAPOS_DEBUG=1 -fno-omit-frame-pointer
build_defs_measure := -DCAPOS_MEASURE=1

kernel_inc = -Iabi -Ikernel/include -Ilib/include -Imach/$(1)/include
user_inc  := -Iabi -Iuser/include -Ilib/include

kernel_cflags := $(common) -ffreestanding -O2 -mcmodel=kernel -mno-red-zone -mgeneral-regs-only -fno-pic -fno-pie \
	-fno-stack-protector -fno-strict-aliasing -fcf-protection=none -fno-asynchronous-unwind-tables \
	$(build_defs_$(BUILD)) $(call kernel_inc,x86_64)
kernel_ldflags := -nostdlib -static -no-pie -Wl,-T,mach/x86_64/kernel.ld,-z,max-page-size=4096,-z,noexecstack,--build-id=none

# The core is optimized once more at the link, as a whole (LTO= : not). The machine is not: for the compiler a call into it is a
# barrier. Nor are the files of kernel_straight, whose paths are counted in single instructions: what is inlined into them takes
# their registers. Objects hold code, too: tools/check-globals reads them.
LTO             := $(if $(filter debug,$(BUILD)),,1)
kernel_lto      := $(if $(LTO),-flto=2 -ffat-lto-objects --param max-inline-insns-auto=40)
kernel_fast     := ipc/endpoint_fast ipc/park_fast sched/switch_fast
kernel_straight := $(kernel_fast) cap/call ipc/park ipc/ring

sim_san_debug   := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
sim_san_release := -O2
sim_san_measure := $(sim_san_debug)
sim_defs_debug   := -DCAPOS_DEBUG=1
sim_defs_release :=
sim_defs_measure := -DCAPOS_DEBUG=1 -DCAPOS_MEASURE=1
sim_mach_cflags := $(common) -fno-strict-aliasing $(sim_san_$(SIM_BUILD)) $(sim_defs_$(SIM_BUILD)) $(call kernel_inc,sim)
sim_core_cflags := $(sim_mach_cflags) -ffreestanding
sim_ldflags     := $(sim_san_$(SIM_BUILD)) -rdynamic

user_common := $(common) -ffreestanding -O2 -fPIE -fno-stack-protector -fno-strict-aliasing -fcf-protection=none \
	-fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections $(user_inc)
user_cflags     := $(user_common) -Iuser/lib/x86_64/include -mgeneral-regs-only $(build_defs_$(notdir $(U)))
user_sim_cflags := $(user_common) -Iuser/lib/sim/include $(sim_defs_$(SIM_BUILD)) -fno-omit-frame-pointer
user_sim_hook   := -fsanitize-coverage=trace-pc
user_ldflags    := -static-pie -nostdlib -Wl,-T,tools/user.ld,-z,noexecstack,-z,max-page-size=4096,-z,norelro \
	-Wl,--gc-sections,--build-id=none,--no-dynamic-linker,-z,text

unit_common := $(common) -O1 -DCAPOS_DEBUG=1 -DCAPOS_UNIT=1 -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer $(call kernel_inc,sim) -Iuser/include -Iuser/lib/sim/include -I.
unit_cc_gcc   := gcc
unit_cc_clang := $(CLANG)

# --- commands -------------------------------------------------------------------------------------------------------

.PHONY: all image sim-image sim-campaign sim-lag sim-fairness sim-scale run test help iso gdb check format sim soak fuzz fuzz-replay fuzz-qemu clean bench-budget bench-costs bench-hackbench bench-latency bench-runq bench-boot \
	run-smp2-smokes run-thread-scale run-linux-thread-scale-baseline bench-side-by-side bench-scale-instructions \
	report setup-run setup-test setup-gdb setup-report \
	unit unit-gcc unit-clang FORCE

all: image ## build the kernel, the programs and every manifest's archive

# On a terminal the login and shell, else the tour.
run_manifest := $(or $(MANIFEST),$(if $(and $(filter yes,$(shell test -t 0 && echo yes)),$(MAKE_TERMOUT)),default,tour))

run: $(K)/capos.elf $(K)/boot-$(run_manifest).cpio ## boot in QEMU: login and shell on a terminal, else the tour (MANIFEST, CPUS, MEM, BUILD)
	@tools/qemu --build $(BUILD) --manifest $(run_manifest) --mem $(MEM) $(if $(CPUS),--cpus $(CPUS))

test: | setup-test ## check everything; ends with "N passed, N failed"
	@tools/test-all

run-%: FORCE | setup-run ## boot manifest NAME in QEMU and judge what it reports (CPUS=1,4 TIMES=n)
	@tools/prove --build $(BUILD) $(if $(CPUS),--cpus $(CPUS)) $(if $(TIMES),--times $(TIMES)) $*

sim: sim-image ## every workload of tests/sim/plan.txt in the simulator (SEED=n for one seed, SEEDS=n for the first n)
	@tools/sim --no-build --build $(SIM_BUILD) $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) \
		$(if $(CPUS),--cpus $(CPUS))

sim-%: FORCE | setup-run ## manifest NAME in the simulator (SEED, SEEDS, CPUS; FULL=1: death enumerates every step)
	@tools/sim --build $(SIM_BUILD) $(if $(FULL),--full) $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) \
		$(if $(CPUS),--cpus $(CPUS)) $*

soak: sim-image ## fresh seeds for SECONDS=n; every failing one with the command that replays it
	@tools/sim --no-build --build $(SIM_BUILD) --soak $(SECONDS) $(if $(CPUS),--cpus $(CPUS))

fuzz: | setup-test ## hostile calls guided by coverage, from the corpus on (SECONDS=n JOBS=n); docs/FUZZ.md
	@tools/fuzz run --seconds $(SECONDS) --jobs $(JOBS)

fuzz-replay: | setup-test ## every case of the corpus and each found one, once
	@tools/fuzz replay

fuzz-qemu: | setup-test ## variations of all cases in QEMU (CALLS=1000000 CPUS=4 SEED=1)
	@tools/fuzz qemu --calls $(CALLS) --cpus $(or $(CPUS),4) --seed $(or $(SEED),1)

# The queues of the scheduler alone, against the reference model: tests/sim/fair.
fair_dispatches := $(or $(DISPATCHES),10000000)
sim-lag: build/fair/fast/drive build/fair/fast/scenarios ## the kernel's queues against the reference model (DISPATCHES=n SEED=n), and ways to cheat
	@for policy in eevdf wfq; do build/fair/fast/drive --policy $$policy --dispatches $(fair_dispatches) --seed $(or $(SEED),1) && \
		build/fair/fast/scenarios --policy $$policy || exit 1; done

sim-fairness: | setup-run ## both policies on the same seeds: shares, lags, latencies: build/fair/fairness.csv (SEEDS=n CPUS=1,4)
	@tools/sim-fairness $(if $(SEEDS),--seeds $(SEEDS)) $(if $(CPUS),--cpus $(CPUS))

sim-scale: | setup-run ## growth of the scheduler's costs, 1 to 1,024 CPUs, 10 to 100,000 threads: build/bench/sim-scale*.json
	@tools/sim-scale

sim-campaign: sim-image ## SEEDS=20000 over all workloads and 1 to 64 CPUs, with faults; PART=1/4 FIRST=n
	@tools/sim --no-build --build $(SIM_BUILD) --campaign $(or $(SEEDS),20000) $(if $(PART),--part $(PART)) \
		$(if $(FIRST),--first $(FIRST)) $(if $(CPUS),--cpus $(CPUS))

bench-costs: | setup-run ## instructions per operation, against Linux: build/bench/costs.csv (PROFILE=op: by function)
	@tools/bench-costs $(if $(PROFILE),--profile $(PROFILE))

bench-hackbench: | setup-run ## messages between many, against Linux's pipes and futexes: build/bench/hackbench.csv (PROFILE=case)
	@tools/bench-hackbench $(if $(PROFILE),--profile $(PROFILE))

bench-latency: | setup-run ## wake-ups and requests, idle and beside hogs, against Linux: build/bench/latency.csv (CPUS=1,2,4 TIMES=rounds)
	@tools/bench-latency $(if $(CPUS),--cpus $(CPUS)) $(if $(TIMES),--rounds $(TIMES))

bench-budget: | setup-run ## what budgets of CPU time give, exact and in the host's time, against Linux: build/bench/budget.csv (TIMES=rounds PRIORITY=1)
	@tools/bench-budget $(if $(TIMES),--rounds $(TIMES)) $(if $(PRIORITY),--priority)

bench-runq: | setup-run ## the fair queue by the number of those queued, in instructions
	@tools/bench-runq
bench-boot: | setup-run ## QEMU start to prompt, against Linux with a static init (TIMES=n)
	@tools/bench-boot $(if $(TIMES),--times $(TIMES))

run-smp2-smokes: | setup-run ## the SMP smokes on 2 CPUs (CPUS=1,4), with artifacts: target/smp2-smokes
	@tools/smp2-smokes $(if $(CPUS),--cpus $(CPUS))

run-thread-scale: | setup-run ## thread-scale benchmark: speedups of 1, 2, 4 workers: target/thread-scale (PRIORITY=1; tools/thread-scale -h)
	@tools/thread-scale $(if $(PRIORITY),--priority)

run-linux-thread-scale-baseline: | setup-run ## the same workload on Linux, natively and as a guest: target/linux-thread-scale
	@tools/thread-scale --linux $(if $(PRIORITY),--priority)

bench-side-by-side: | setup-run ## the same workload on Linux, capOS, Linux in turn, with intervals (ROUNDS=n PRIORITY=1)
	@tools/bench-side-by-side $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(PRIORITY),--priority)

bench-scale-instructions: | setup-run ## what a thread-scale run executes outside the workload, against Linux (PROFILE=run)
	@tools/bench-scale-instructions $(if $(PROFILE),--profile $(PROFILE))

report: | setup-report ## one page of all that was measured, with plots: build/report/index.html (IMAGES=1: docs/images too)
	@tools/report $(if $(IMAGES),--images docs/images)

check: | setup-test ## format, static checks, header levels, globals
	@tools/check

FILES ?= $$(git ls-files --cached --others --exclude-standard '*.c' '*.h')
format: | setup-test ## rewrite the sources (or FILES="a.c b.h") in the house's format
	$(Q)clang-format-19 -i $(FILES)

iso_manifest := $(or $(MANIFEST),default)
iso: $(K)/capos-$(iso_manifest).iso ## one image for BIOS and UEFI (MANIFEST, BUILD)
	@echo "$<    boot it with: tools/qemu --iso $< [--uefi]"

gdb: $(K)/capos.elf $(K)/boot-$(or $(MANIFEST),default).cpio | setup-gdb ## boot stopped, with gdb attached (MANIFEST, CPUS, BUILD)
	@tools/qemu --build $(BUILD) --manifest $(or $(MANIFEST),default) --mem $(MEM) $(if $(CPUS),--cpus $(CPUS)) --gdb

clean: ## remove everything that was built
	rm -rf build

help: ## this list
	@echo "capOS commands (variables: BUILD=release|debug|measure CPUS=n MEM=n MANIFEST=name V=1):"
	@sed -n 's/^\([a-z%-]*\):[^#]*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | sed 's/%/NAME/' | \
		awk -F '\t' '{ printf "  make %-10s %s\n", $$1, $$2 }'
	@echo "manifests: $(manifests)"

# Packages first; quick when they are there. Order-only, so that nothing is rebuilt for them.
setup-run:
	@tools/setup run
setup-test: setup-run
	@tools/setup test
setup-gdb: setup-run
	@tools/setup gdb
setup-report:
	@tools/setup report

# --- the two images -------------------------------------------------------------------------------------------------

image: $(K)/capos.elf $(manifests:%=$(K)/boot-%.cpio)
sim-image: $(S)/capos-sim $(manifests:%=$(S)/boot-%.cpio) ## build the simulator and its archives

# A stamp whose text is the flags: what is built with other flags is rebuilt. $(call stamp,FLAGS)
define stamp
@mkdir -p $(@D)
@printf '%s\n' '$(subst ','\'',$(1))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(1))' >$@
endef
$(K)/obj/.flags: FORCE
	$(call stamp,$(CC) $(kernel_cflags) $(kernel_lto) $(kernel_straight) $(kernel_ldflags))
$(U)/uobj/.flags: FORCE
	$(call stamp,$(CC) $(user_cflags) $(user_ldflags))
$(S)/obj/.flags: FORCE
	$(call stamp,$(CC) $(sim_core_cflags) $(sim_ldflags))
$(S)/uobj/.flags: FORCE
	$(call stamp,$(CC) $(user_sim_cflags) $(user_sim_hook) $(user_ldflags))
# A stamp whose text is a list of files: what was linked from other files is linked again.
$(K)/obj/.list: FORCE
	$(call stamp,$(kernel_src) $(x86_src))
$(S)/obj/.list: FORCE
	$(call stamp,$(kernel_src) $(sim_src))
$(U)/user/.list: FORCE
	$(call stamp,$(user_lib_src) $(user_x86_src) / $(programs))
$(S)/user/.list: FORCE
	$(call stamp,$(user_lib_src) $(user_sim_src) / $(programs))

# $(call compile,FLAGS)
define compile
$(call say,CC,$@)
@mkdir -p $(@D)
$(Q)$(CC) $(1) -MMD -MP -c -o $@ $<
endef

# The assembly that calls kernel_syscall_ipc, and nothing else does, has saved the registers that a function preserves. What is
# called from there, and from nowhere else, is compiled in the same way.
$(kernel_fast:%=$(K)/obj/kernel/%.o): private file_cflags := $(addprefix -fcall-used-,rbx r12 r13 r14 r15)
$(filter-out $(kernel_straight:%=$(K)/obj/kernel/%.o),$(call obj,$(K)/obj,$(kernel_src))): private file_cflags := $(kernel_lto)

# $(call compile_fuzz,FLAGS)
define compile_fuzz
$(call say,CLANG,$@)
@mkdir -p $(@D)
$(Q)$(CLANG) $(fuzz_common) $(1) -MMD -MP -c -o $@ $<
endef

$(K)/obj/%.o: %.c $(K)/obj/.flags | setup-run
	$(call compile,$(kernel_cflags) $(file_cflags))
$(K)/obj/%.o: %.S $(K)/obj/.flags | setup-run
	$(call compile,$(kernel_cflags))

$(S)/obj/mach/%.o: mach/%.c $(S)/obj/.flags | setup-run
	$(call compile,$(sim_mach_cflags))
$(S)/obj/mach/%.o: mach/%.S $(S)/obj/.flags | setup-run
	$(call compile,$(sim_mach_cflags))
$(S)/obj/%.o: %.c $(S)/obj/.flags | setup-run
	$(call compile,$(sim_core_cflags))

$(U)/uobj/%.o: %.c $(U)/uobj/.flags | setup-run
	$(call compile,$(user_cflags))
$(U)/uobj/%.o: %.S $(U)/uobj/.flags | setup-run
	$(call compile,$(user_cflags))

# The simulator's part of the run-time holds the hook that the others' basic blocks call.
$(S)/uobj/user/lib/sim/%.o: user/lib/sim/%.c $(S)/uobj/.flags | setup-run
	$(call compile,$(user_sim_cflags))
$(S)/uobj/user/lib/sim/%.o: user/lib/sim/%.S $(S)/uobj/.flags | setup-run
	$(call compile,$(user_sim_cflags))
$(S)/uobj/%.o: %.c $(S)/uobj/.flags | setup-run
	$(call compile,$(user_sim_cflags) $(user_sim_hook))
$(S)/uobj/%.o: %.S $(S)/uobj/.flags | setup-run
	$(call compile,$(user_sim_cflags))

# Only these members of musl's C library: they need no system, no SSE and no thread-local data. Programs have a memcpy of their own.
musl_libc    := /usr/lib/x86_64-linux-musl/libc.a
musl_members := memchr memcmp memcpy memmem memmove mempcpy memrchr memset stpcpy stpncpy strchr strchrnul strcmp \
	strcpy strcspn strlen strncmp strncpy strnlen strrchr strspn strstr
musl_weak    := --weaken-symbol=memcpy
musl_lib     := build/musl/libmem.a
build/musl/.list: FORCE
	$(call stamp,$(musl_members) $(musl_weak))
$(musl_lib): build/musl/.list | setup-run
	$(call say,AR,$@)
	@rm -f $(@D)/*.lo $@
	$(Q)cd $(@D) && $(AR) x $(musl_libc) $(musl_members:=.lo) && $(OBJCOPY) $(musl_weak) memcpy.lo && \
		$(AR) rcsD $(@F) *.lo

kernel_obj := $(call obj,$(K)/obj,$(kernel_src) $(x86_src))
$(K)/capos.elf: $(kernel_obj) mach/x86_64/kernel.ld $(musl_lib) tools/ksyms $(K)/obj/.flags $(K)/obj/.list
	$(call say,LD,$@)
	$(Q)tools/ksyms $@ -- $(CC) $(kernel_cflags) $(kernel_lto) $(kernel_ldflags) $(kernel_obj) \
		-L/usr/lib/x86_64-linux-gnu -Wl,--start-group -l:libfdt.a $(musl_lib) -Wl,--end-group

# The fuzzer: core and simulator by clang, the core's coverage counted, in one program with libFuzzer (docs/FUZZ.md).
F := build/fuzz
fuzz_common := $(common) -O2 -fno-strict-aliasing -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer -DCAPOS_DEBUG=1 $(call kernel_inc,sim)
fuzz_sections := -include tests/fuzz/sections.h
fuzz_count    := -fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp
fuzz_core_obj := $(call obj,$(F)/obj,$(kernel_src))
fuzz_mach_obj := $(call obj,$(F)/obj,$(filter-out mach/sim/main.c,$(sim_src)))
fuzz_own_obj  := $(call obj,$(F)/obj,$(wildcard tests/fuzz/*.c))

$(F)/obj/.flags: FORCE
	$(call stamp,$(CLANG) $(fuzz_common) $(fuzz_count) $(kernel_src) $(sim_src))
$(fuzz_core_obj): $(F)/obj/%.o: %.c $(F)/obj/.flags | setup-test
	$(call compile_fuzz,$(fuzz_sections) $(fuzz_count) -ffreestanding)
$(filter-out $(F)/obj/mach/sim/fibre.o,$(fuzz_mach_obj)): $(F)/obj/%.o: %.c $(F)/obj/.flags | setup-test
	$(call compile_fuzz,$(fuzz_sections))
$(F)/obj/mach/sim/fibre.o: mach/sim/fibre.S $(F)/obj/.flags | setup-test
	$(call compile_fuzz)
$(fuzz_own_obj): $(F)/obj/%.o: %.c $(F)/obj/.flags | setup-test
	$(call compile_fuzz,-D_GNU_SOURCE)
$(F)/capos-fuzz: $(fuzz_core_obj) $(fuzz_mach_obj) $(fuzz_own_obj)
	$(call say,LD,$@)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -rdynamic -Wl,--wrap=cap_transfer_drop -o $@ $^ -l:libfdt.a -lm

# What it boots: little, for it is copied for each input. The simulator's debug build of the programs.
$(F)/boot.cpio: build/sim/debug/manifests/fuzzcalls.dtb build/sim/debug/stripped/child build/sim/debug/stripped/fuzzcalls
	$(call say,CPIO,$@)
	$(Q)tools/mkarchive $@ $^

sim_obj := $(call obj,$(S)/obj,$(kernel_src) $(sim_src))
$(S)/capos-sim: $(sim_obj) $(S)/obj/.flags $(S)/obj/.list
	$(call say,LD,$@)
	$(Q)$(CC) $(sim_ldflags) -o $@ $(sim_obj) -l:libfdt.a -lm

# --- programs, manifests, archives ----------------------------------------------------------------------------------

# $(call program,ROOT,NAME,RUNTIME OBJECTS): links ROOT/user/NAME, and strips it for the archive.
define program
$(1)/user/$(2): $$(call obj,$(1)/uobj,$$(call program_src,$(2))) $(3) $$(musl_lib) tools/user.ld $(1)/uobj/.flags $(1)/user/.list
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(user_ldflags) -o $$@ $$(call obj,$(1)/uobj,$$(call program_src,$(2))) $(3) \
		-Wl,--start-group $$(musl_lib) -l:libnettle.a -Wl,--end-group
endef
user_x86_obj := $(call obj,$(U)/uobj,$(user_lib_src) $(user_x86_src))
user_sim_obj := $(call obj,$(S)/uobj,$(user_lib_src) $(user_sim_src))
$(foreach p,$(programs),$(eval $(call program,$(U),$(p),$(user_x86_obj))))
$(foreach p,$(programs),$(eval $(call program,$(S),$(p),$(user_sim_obj))))

# The program with all cases that tools/fuzz has packed, for QEMU.
$(K)/fuzz/cases.o: $(F)/cases.bin
	@mkdir -p $(@D)
	$(Q)printf '.section .rodata.cases,"a"\n.balign 16\n.globl fuzz_slot\nfuzz_slot: .incbin "$<"\n' | $(CC) -x assembler -c -o $@ -
$(K)/fuzz/fuzzcalls: $(filter-out %/cases.o,$(call obj,$(U)/uobj,$(call program_src,fuzzcalls))) $(K)/fuzz/cases.o $(user_x86_obj) $(musl_lib)
	$(call say,LD,$@)
	$(Q)$(CC) $(user_ldflags) -s -o $@ $^

$(U)/stripped/%: $(U)/user/%
	@mkdir -p $(@D)
	$(Q)$(STRIP) -s -o $@ $<
$(S)/stripped/%: $(S)/user/%
	@mkdir -p $(@D)
	$(Q)$(STRIP) -s -o $@ $<

define manifest_blob
$(call say,DTC,$@)
@mkdir -p $(@D)
$(Q)$(CC) -E -P -nostdinc -undef -D__DTS__ -x assembler-with-cpp -Imanifests -Iabi -MMD -MP -MT $@ -MF $@.d $< -o $@.dts
$(Q)$(DTC) -q -I dts -O dtb -o $@ $@.dts
endef
$(K)/manifests/%.dtb: manifests/%.dts | setup-run
	$(manifest_blob)
$(S)/manifests/%.dtb: manifests/%.dts | setup-run
	$(manifest_blob)

$(K)/boot-%.cpio: $(K)/manifests/%.dtb $(programs:%=$(U)/stripped/%) $(U)/user/.list tools/mkarchive
	$(call say,CPIO,$@)
	$(Q)tools/mkarchive $@ $< $(programs:%=$(U)/stripped/%)
$(S)/boot-%.cpio: $(S)/manifests/%.dtb $(programs:%=$(S)/stripped/%) $(S)/user/.list tools/mkarchive
	$(call say,CPIO,$@)
	$(Q)tools/mkarchive $@ $< $(programs:%=$(S)/stripped/%)

$(K)/capos-%.iso: $(K)/capos.elf $(K)/boot-%.cpio tools/mkiso | setup-test
	$(call say,ISO,$@)
	$(Q)tools/mkiso $@ $(K)/capos.elf $(K)/boot-$*.cpio

# --- unit tests -----------------------------------------------------------------------------------------------------

# tests/unit/ROOM/NAME.c names the pure sources it links in a line /* LINK: path folder/ path */; a folder is all of its sources.
unit_tests := $(patsubst tests/unit/%.c,%,$(sort $(wildcard tests/unit/*/*.c)))
unit_mk    := build/unit.mk
ifneq ($(unit_tests),)
$(shell mkdir -p build && awk '/LINK:/ { sub(/.*LINK:/, ""); sub(/\*\/.*/, ""); name = FILENAME; \
	for (i = 1; i <= NF; i++) if ($$i ~ /\/$$/) $$i = "$$(wildcard " $$i "*.c)"; \
	sub(/^tests\/unit\//, "", name); sub(/\.c$$/, "", name); print "unit_link_" name " += " $$0 }' \
	$(unit_tests:%=tests/unit/%.c) >$(unit_mk).$$$$ && mv $(unit_mk).$$$$ $(unit_mk))
include $(unit_mk)
endif

unit: unit-gcc unit-clang ## build the unit tests with both compilers

# $(call unit_rules,COMPILER)
define unit_rules
unit-$(1): $$(unit_tests:%=build/unit/$(1)/%)
build/unit/$(1)/obj/.flags: FORCE
	$$(call stamp,$$(unit_cc_$(1)) $$(unit_common))
build/unit/$(1)/obj/%.o: %.c build/unit/$(1)/obj/.flags | setup-test
	$$(call say,CC,$$@)
	@mkdir -p $$(@D)
	$$(Q)$$(unit_cc_$(1)) $$(unit_common) -MMD -MP -c -o $$@ $$<
endef
# $(call unit_program,COMPILER,TEST)
define unit_program
build/unit/$(1)/$(2): $$(call obj,build/unit/$(1)/obj,tests/unit/$(2).c $$(unit_link_$(2)))
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$$(Q)$$(unit_cc_$(1)) -fsanitize=address,undefined -o $$@ $$^ -lcmocka -l:libfdt.a
endef
$(foreach c,gcc clang,$(eval $(call unit_rules,$(c))))
$(foreach c,gcc clang,$(foreach t,$(unit_tests),$(eval $(call unit_program,$(c),$(t)))))

# --- the fair queues against the reference model (tests/sim/fair) ---------------------------------------------------

# fast: for very many dispatches; check: sanitizers, the core's own walks; count: the core's basic blocks are counted.
fair_core      := $(addprefix kernel/sched/,fair_tree.c runq.c classes.c policy_eevdf.c policy_wfq.c)
fair_common    := $(common) -fno-strict-aliasing -DCAPOS_UNIT=1 $(call kernel_inc,sim) -I.
fair_fast      := -O2
fair_check     := -O1 -DCAPOS_DEBUG=1 -fsanitize=address,undefined -fno-sanitize-recover=all
fair_count     := -O2
fair_programs  := fast/drive fast/scenarios check/drive check/scenarios count/scale
$(call obj,build/fair/count,tests/sim/fair/driver.c $(fair_core)): private file_cflags := -fsanitize-coverage=trace-pc
# $(call fair_rules,VARIANT)
define fair_rules
build/fair/$(1)/.flags: FORCE
	$$(call stamp,gcc $$(fair_common) $$(fair_$(1)))
build/fair/$(1)/%.o: %.c build/fair/$(1)/.flags | setup-run
	$$(call say,CC,$$@)
	@mkdir -p $$(@D)
	$$(Q)gcc $$(fair_common) $$(fair_$(1)) $$(file_cflags) -MMD -MP -c -o $$@ $$<
endef
$(foreach v,fast check count,$(eval $(call fair_rules,$(v))))
# $(call fair_program,VARIANT,NAME)
define fair_program
build/fair/$(1)/$(2): $$(call obj,build/fair/$(1),tests/sim/fair/$(2).c tests/sim/fair/driver.c tests/sim/fair/reference.c $$(fair_core))
	$$(call say,LD,$$@)
	$$(Q)gcc $$(fair_$(1)) -o $$@ $$^ -lm
endef
$(foreach p,$(fair_programs),$(eval $(call fair_program,$(patsubst %/,%,$(dir $(p))),$(notdir $(p)))))

# --- the whole core in the simulator, with its basic blocks counted (tests/sim/scale) ---------------------------------

C           := build/sim/count
count_wraps := place_woken sched_wake wake_take_inbox_locked steal balance_look timer_run_due sched_exit kernel_irq mach_idle_wait \
	mach_irq_window
count_core  := $(call obj,$(C)/obj,$(kernel_src))
count_obj   := $(count_core) $(call obj,$(C)/obj,$(filter mach/sim/%,$(sim_src)) tests/sim/scale/count.c)
count_flags := $(common) -fno-strict-aliasing -O2 $(call kernel_inc,sim)
$(count_core): private file_cflags := -ffreestanding -fsanitize-coverage=trace-pc
$(C)/obj/.flags: FORCE
	$(call stamp,$(CC) $(count_flags) $(count_wraps) $(kernel_src) $(sim_src))
$(C)/obj/%.o: %.c $(C)/obj/.flags | setup-run
	$(call compile,$(count_flags) $(file_cflags))
$(C)/obj/%.o: %.S $(C)/obj/.flags | setup-run
	$(call compile,$(count_flags))
$(C)/capos-sim: $(count_obj)
	$(call say,LD,$@)
	$(Q)$(CC) -O2 -rdynamic $(count_wraps:%=-Wl,--wrap=%) -o $@ $^ -l:libfdt.a -lm
# crowd-N-MS: what it boots, two processes of N threads each that begin after MS milliseconds; programs of the release build.
$(C)/crowd-%.cpio: tests/sim/scale/crowd.dts build/sim/release/stripped/fairtest
	$(call say,CPIO,$@)
	@mkdir -p $(@D)
	$(Q)sed 's/ARGS/"crowd $(subst -, ,$*)"/' $< >$@.dts
	$(Q)$(DTC) -q -I dts -O dtb -o $(@:.cpio=.dtb) $@.dts
	$(Q)tools/mkarchive $@ $(@:.cpio=.dtb) build/sim/release/stripped/fairtest

# --- what depends on which headers ----------------------------------------------------------------------------------

-include $(fuzz_core_obj:.o=.d) $(fuzz_mach_obj:.o=.d) $(fuzz_own_obj:.o=.d)
-include $(count_obj:.o=.d)
-include $(kernel_obj:.o=.d) $(sim_obj:.o=.d) $(user_x86_obj:.o=.d) $(user_sim_obj:.o=.d)
-include $(foreach r,$(U) $(S),$(patsubst %.c,$(r)/uobj/%.d,$(foreach p,$(programs),$(call program_src,$(p)))))
-include $(foreach v,fast check count,$(patsubst %.c,build/fair/$(v)/%.d,$(wildcard tests/sim/fair/*.c) $(fair_core)))
-include $(foreach r,$(K) $(S),$(manifests:%=$(r)/manifests/%.dtb.d))
-include $(foreach c,gcc clang,$(foreach t,$(unit_tests),$(patsubst %.c,build/unit/$(c)/obj/%.d,tests/unit/$(t).c $(unit_link_$(t)))))
