# SPDX-License-Identifier: GPL-3.0-or-later
#
# Culvert's one Makefile.  `make help` lists the targets and the variables.
#
# Sources are found by directory, so that a new file needs no line here.  In BUILD:
#   datapath/ control/ but control/main.c      -> libparts.a for programs, libparts.so for tests
#   control/library/ and what it uses          -> libculvert.a for applications, of which culvert is one
#   control/main.c                             -> culvertd
#   tools/NAME.c tools/NAME/*.c                -> NAME
#   bench/GROUP/NAME.c bench/GROUP/NAME/*.c    -> bench/GROUP/NAME
#   DIRECTORY/NAME.bpf.c                       -> bpf/NAME.skel.h with struct NAME_bpf
#   tests/{unit/ROOM,bpf,loop}/test_NAME.c     -> tests/.../test_NAME, linked with the suite's other files
#   tests/fuzz/fuzz_NAME.c                     -> tests/fuzz/fuzz_NAME, which reruns a corpus; with
#                                                 FUZZER=1 in fuzz/, where it searches for more
#   tests/lab/NAME.c                           -> lab/NAME, a process of the lab's hosts

VERSION := 0.1.0

# ---- what the caller may set ----

BUILD        ?= build
DEPS         ?= $(CURDIR)/build/deps
DISTDIR      ?=
CFLAGS       ?= -O2 -g
WERROR       ?= $(if $(SANITIZE)$(FUZZER),0,1)
LTO          ?= $(if $(SANITIZE)$(FUZZER)$(findstring clang,$(CC)),0,1)
SANITIZE     ?=
IPSEC_MB     ?= $(if $(wildcard /usr/include/intel-ipsec-mb.h),1,0)
PREFIX       ?= /usr/local
SYSCONFDIR   ?= /etc
DESTDIR      ?=
PYTHON       ?= /usr/bin/python3
CLANG        ?= clang
CLANG_FORMAT ?= clang-format
BPFTOOL      ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
FUZZ_SECONDS ?= 30
FUZZ_KEEP    ?=
SOAK_SECONDS ?= 600
JOBS         ?= $(shell nproc)
ONLY         ?=

ifeq ($(origin CC),default)
CC := gcc
endif

# ---- directories of this build: each set of sanitizers has its own ----

comma := ,
variant := $(if $(FUZZER),fuzz,$(if $(SANITIZE),$(or \
	$(if $(filter address%,$(SANITIZE)),asan),$(if $(filter thread,$(SANITIZE)),tsan), \
	san-$(subst $(comma),-,$(SANITIZE)))))
OUT := $(BUILD)$(if $(variant),/$(variant))
OBJ := $(OUT)/obj
BPF := $(BUILD)/bpf

# One line for each step, or with V=1 its commands.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules
# A sub-make takes part in the caller's -j, and without one uses every core.
submake = +$(Q)$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))

# ---- libraries ----

DEPS_STAMPS := $(addprefix $(DEPS)/stamps/,wolfssl nghttp3 ngtcp2 libbpf xdp-tools)
DEPS_LIBS := $(addprefix $(DEPS)/lib/lib, \
	ngtcp2_crypto_wolfssl.a ngtcp2.a nghttp3.a wolfssl.a xdp.a bpf.a)
PACKAGES := hwloc numa libargon2 libcares libuv libconfuse jansson libmicrohttpd libcap-ng \
	libseccomp libmnl ncursesw libelf zlib cmocka
PACKAGE_LIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)
MISSING := $(if $(PACKAGE_LIBS),,$(shell for p in $(PACKAGES); do \
	pkg-config --exists $$p 2>/dev/null || echo $$p; done))

# Headers come without -I flags on Debian; ncurses' would only fight _GNU_SOURCE.
CULVERT_CPPFLAGS := -D_GNU_SOURCE -DCLV_VERSION=\"$(VERSION)\" -iquote . -iquote $(BPF) \
	-isystem $(DEPS)/include $(if $(filter 1,$(IPSEC_MB)),-DCLV_HAVE_IPSEC_MB=1)
# Position independent, for libparts.so, and so that libculvert.a can go into a shared library; calls
# and inlining within a file stay as they are without -fPIC.
CULVERT_CFLAGS := -std=gnu11 -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror) -MMD -MP \
	-fPIC -fno-semantic-interposition
# libxdp.a carries BPF objects without a stack note, which would make our stacks executable.
CULVERT_LDFLAGS := -Wl,--as-needed -Wl,-z,relro,-z,now -Wl,-z,noexecstack
LDLIBS := $(PACKAGE_LIBS) $(if $(filter 1,$(IPSEC_MB)),-lIPSec_MB) -lm -lpthread

# No clock can be right that is before the day of the source: then no certificates are made.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
$(OUT)/obj/control/tls/dates.o: private OWN_FLAGS := -DCLV_BUILD_TIME=$(SOURCE_DATE_EPOCH)

# hkdf_wrap.c replaces wolfSSL's HKDF calls, which build a random generator each time.
WRAP_HKDF := -Wl,--wrap=wolfSSL_quic_hkdf_expand,--wrap=wolfSSL_quic_hkdf_extract
CULVERT_LDFLAGS += $(WRAP_HKDF)

# The attacker of tests/loop copies its connection's keys as ngtcp2 installs them.
WRAP_KEYS := -Wl,--wrap=ngtcp2_conn_install_rx_key,--wrap=ngtcp2_conn_install_tx_key

ifneq ($(FUZZER),)
CC := $(CLANG)
override CFLAGS := -O2 -g -fno-omit-frame-pointer \
	-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
CULVERT_LDFLAGS += -fsanitize=fuzzer,address,undefined
# The fuzzer is to be led by what the tested code does, not the test, which is quicker so, too.
$(BUILD)/fuzz/obj/tests/%.o: private OWN_FLAGS := -fno-sanitize=fuzzer-no-link
# Keys are found by a keyed hash, so its comparisons lead nowhere; with those of sanitizers they took
# a third of the time of a fuzzer of contexts.  Which lines run is still seen.
$(BUILD)/fuzz/obj/datapath/base/table.o: private OWN_FLAGS := -fno-sanitize-coverage=trace-cmp
else ifneq ($(SANITIZE),)
override CFLAGS := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
CULVERT_LDFLAGS += -fsanitize=$(SANITIZE)
else
CULVERT_CFLAGS += -fstack-protector-strong
CULVERT_CPPFLAGS += -U_FORTIFY_SOURCE $(if $(filter -O0,$(CFLAGS)),,-D_FORTIFY_SOURCE=2)
endif

# The programs read headers in words, whatever was written there before.
BPF_CFLAGS := -std=gnu11 -O2 -g -target bpf -mcpu=v3 -fno-strict-aliasing -Wall -Wextra \
	$(if $(filter 1,$(WERROR)),-Werror) -MMD -MP -iquote . -isystem $(DEPS)/include \
	-idirafter /usr/include/$(shell $(CC) -print-multiarch)

# ---- sources ----

in_tree = $(sort $(wildcard $(1)/*.c $(1)/*/*.c $(1)/*/*/*.c))
programs_in = $(filter-out %.bpf.c,$(sort $(wildcard $(1)/*.c)))
objects = $(patsubst %.c,$(OBJ)/%.o,$(1))

BPF_SRCS := $(sort $(wildcard bpf/*.bpf.c tools/*.bpf.c bench/*/*.bpf.c tests/*/*.bpf.c))
PARTS_SRCS := $(filter-out %.bpf.c control/main.c,$(call in_tree,datapath) $(call in_tree,control))
TOOLS := $(patsubst tools/%.c,%,$(call programs_in,tools))
BENCHES := $(patsubst bench/%.c,%,$(call programs_in,bench/*))
LAB := $(patsubst tests/lab/%.c,%,$(call programs_in,tests/lab))
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))

PARTS := $(OUT)/libparts.a
LIBCULVERT := $(OUT)/libculvert.a
LIBCULVERT_LIBS := $(if $(filter 1,$(IPSEC_MB)),-lIPSec_MB) -lmnl -lpthread
LIBCULVERT_OBJS := $(call objects,$(wildcard control/library/*.c))
SKELETONS := $(patsubst %.bpf.c,$(BPF)/%.skel.h,$(notdir $(BPF_SRCS)))
PROGRAMS := $(if $(wildcard control/main.c),$(OUT)/culvertd) $(addprefix $(OUT)/,$(TOOLS))
BENCH_PROGRAMS := $(addprefix $(OUT)/bench/,$(BENCHES))
LAB_PROGRAMS := $(addprefix $(OUT)/lab/,$(LAB))
PARTS_OBJS := $(call objects,$(PARTS_SRCS))
ALL_OBJS := $(PARTS_OBJS)

.PHONY: all lab benches
all: $(PARTS) $(LIBCULVERT) $(PROGRAMS) ## build the programs and the libraries (default)
lab: all $(LAB_PROGRAMS)
benches: $(BENCH_PROGRAMS)

# ---- rules ----

define stale_libraries
$(1):
	@echo "make: $$@ is missing: run 'make deps' first" >&2; exit 1
endef
$(foreach s,$(DEPS_STAMPS),$(eval $(call stale_libraries,$(s))))

.PHONY: packages-present FORCE
packages-present:
	@$(if $(MISSING),echo "make: no $(MISSING) for pkg-config: run 'make deps'" >&2; exit 1,:)

# Everything is compiled again when the flags change.
COMPILE := $(CC) $(CULVERT_CPPFLAGS) $(CPPFLAGS) $(CULVERT_CFLAGS) $(CFLAGS)
$(OUT)/.flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(COMPILE)' '$(BPF_CFLAGS)' | cmp -s - $@ || \
		printf '%s\n' '$(COMPILE)' '$(BPF_CFLAGS)' > $@

$(OBJ)/%.o: %.c $(OUT)/.flags $(DEPS_STAMPS) | packages-present $(SKELETONS)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(COMPILE) $(OWN_FLAGS) -c -o $@ $<

# What libraries consist of is a prerequisite, so that a source taken away leaves them.
MEMBERS = $(PARTS_OBJS) $(foreach s,$(SUITES),$($(s)_helpers))
$(OUT)/.members: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(MEMBERS)' | cmp -s - $@ || printf '%s\n' '$(MEMBERS)' > $@

$(PARTS): $(PARTS_OBJS) $(OUT)/.members
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)ar qcs $@ $(PARTS_OBJS)

# One object with all that the public functions use, the pinned libraries included; nothing but
# culvert_* is seen outside, so that an application may have a QUIC or TLS library of its own.
$(LIBCULVERT): $(PARTS)
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(CC) -r -nostdlib -fno-lto $(WRAP_HKDF) -o $(OBJ)/libculvert.o $(LIBCULVERT_OBJS) \
		-Wl,--start-group $(PARTS) $(DEPS_LIBS) -Wl,--end-group
	$(Q)objcopy --wildcard --keep-global-symbol='culvert_*' --remove-section='.gnu.*lto_*' \
		$(OBJ)/libculvert.o
	$(Q)ar rcs $@ $(OBJ)/libculvert.o

# ngtcp2 is optimised as a whole in the programs whose speed counts, and linked as it is in the others.
LINK_LTO := -fno-lto
$(OUT)/culvertd $(BENCH_PROGRAMS): private LINK_LTO := $(if $(filter 1,$(LTO)),-flto=auto,-fno-lto)

# $(1) program, $(2) its sources, $(3) archives it uses.  In a group, because ngtcp2 has to find our
# HKDF in libparts.a.
define program
$(1): $(call objects,$(2)) $(3) $(PARTS)
	$$(call say,LD,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS) $$(LINK_LTO) $$(CULVERT_LDFLAGS) $$(LDFLAGS) -o $$@ \
		$(call objects,$(2)) -Wl,--start-group $(3) $$(PARTS) $$(DEPS_LIBS) -Wl,--end-group $$(LDLIBS)
ALL_OBJS += $(call objects,$(2))
endef

# culvert uses nothing of the tree but libculvert.
CULVERT_OBJS := $(call objects,tools/culvert.c $(wildcard tools/culvert/*.c))
ALL_OBJS += $(CULVERT_OBJS)
$(OUT)/culvert: $(CULVERT_OBJS) $(LIBCULVERT)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(filter-out $(WRAP_HKDF),$(CULVERT_LDFLAGS)) $(LDFLAGS) -o $@ \
		$(CULVERT_OBJS) $(LIBCULVERT) $(LIBCULVERT_LIBS) $(shell pkg-config --libs libuv jansson)

define bpf_object
$(BPF)/$(notdir $(1:.c=.o)): $(1) $(DEPS)/stamps/libbpf
	$$(call say,BPF,$$<)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CLANG) $$(BPF_CFLAGS) -c -o $$@ $$<
	$$(Q)llvm-strip -g $$@
endef

$(BPF)/%.skel.h: $(BPF)/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $(subst -,_,$*)_bpf > $@

$(foreach b,$(BPF_SRCS),$(eval $(call bpf_object,$(b))))
$(eval $(call program,$(OUT)/culvertd,control/main.c))
$(foreach p,$(filter-out culvert,$(TOOLS)),$(eval \
	$(call program,$(OUT)/$(p),tools/$(p).c $(wildcard tools/$(p)/*.c))))
$(foreach p,$(BENCHES),$(eval \
	$(call program,$(OUT)/bench/$(p),bench/$(p).c $(wildcard bench/$(p)/*.c))))
$(foreach p,$(LAB),$(eval $(call program,$(OUT)/lab/$(p),tests/lab/$(p).c)))

# ---- tests ----

# Test programs share one library with all of our objects and the pinned libraries whole, because
# linking them into each takes longer than running most.  $(1) library, $(2) objects.
define shared_library
$(1): $(2) $(OUT)/.members $(DEPS_STAMPS)
	$$(call say,LD,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS) -shared -fno-lto $$(CULVERT_LDFLAGS) $$(LDFLAGS) -o $$@ $(2) \
		-Wl,--whole-archive $$(DEPS_LIBS) -Wl,--no-whole-archive $$(LDLIBS)
endef
PARTS_SO := $(OUT)/libparts.so
$(eval $(call shared_library,$(PARTS_SO),$(PARTS_OBJS)))

# $(1) program, $(2) its sources, $(3) archives it uses, $(4) shared library
define test_program
$(1): $(call objects,$(2)) $(3) $(4)
	$$(call say,LD,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS) -fno-lto $$(CULVERT_LDFLAGS) -Wl,-rpath,$(abspath $(dir $(4))) $$(LDFLAGS) \
		-o $$@ $(call objects,$(2)) $(3) $(4) $$(LDLIBS)
ALL_OBJS += $(call objects,$(2))
endef

# $(1) suite; each test_*.c is a program, the suite's other sources are its helpers.
define suite
$(1)_sources := $(sort $(filter-out %.bpf.c,$(wildcard tests/$(1)/*.c tests/$(1)/*/*.c)))
$(1)_tests := $$(patsubst %.c,$(OUT)/%,$$(foreach s,$$($(1)_sources),$$(if \
	$$(filter test_%,$$(notdir $$s)),$$s)))
$(1)_helpers := $$(call objects,$$(filter-out \
	$$(patsubst $(OUT)/%,%.c,$$($(1)_tests)),$$($(1)_sources)))
$(1)_archive := $(OUT)/tests/$(1)/libhelpers.a
$$($(1)_archive): $$($(1)_helpers) $(OUT)/.members
	$$(call say,AR,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)rm -f $$@
	$$(Q)ar qcs $$@ $$($(1)_helpers)
ALL_OBJS += $$($(1)_helpers)
endef
SUITES := unit bpf loop
$(foreach s,$(SUITES),$(eval $(call suite,$(s))))

# These are linked as programs are: three replace functions that our own objects call, two compare with
# functions that ngtcp2 does not export.
STATIC_TESTS := $(addprefix $(OUT)/tests/unit/,peer/test_forward xdp/test_policy_reload \
	xdp/test_conntrack \
	crypto/test_aead_conn crypto/test_aead_keys)
$(foreach t,$(STATIC_TESTS),$(eval \
	$(call program,$(t),$(patsubst $(OUT)/%,%.c,$(t)),$(unit_archive))))
# Replaces the calls that write to the kernel's tables, and records them.
$(OUT)/tests/unit/xdp/test_policy_reload: private CULVERT_LDFLAGS += \
	-Wl,--wrap=bpf_map_update_elem,--wrap=bpf_map_delete_elem
# Replaces what the kernel says to the programs.
$(OUT)/tests/unit/xdp/test_conntrack: private CULVERT_LDFLAGS += \
	-Wl,--wrap=bpf_object__load_skeleton,--wrap=bpf_program__insns,--wrap=bpf_btf_get_next_id

$(foreach s,unit bpf,$(foreach t,$(filter-out $(STATIC_TESTS),$($(s)_tests)),$(eval \
	$(call test_program,$(t),$(patsubst $(OUT)/%,%.c,$(t)),$($(s)_archive),$(PARTS_SO)))))

# The helpers of tests/loop are inside its shared library, because ngtcp2 has to call their functions
# (WRAP_KEYS).
WORLD_SO := $(OUT)/tests/loop/libworld.so
$(eval $(call shared_library,$(WORLD_SO),$(PARTS_OBJS) $(loop_helpers)))
$(WORLD_SO): private CULVERT_LDFLAGS += $(WRAP_KEYS)
$(foreach t,$(loop_tests),$(eval \
	$(call test_program,$(t),$(patsubst $(OUT)/%,%.c,$(t)),,$(WORLD_SO))))

# One source, two programs: replay.c is the main() that reruns a corpus, libFuzzer has its own.
fuzz_tests := $(addprefix $(OUT)/tests/fuzz/,$(FUZZERS))
fuzz_replay := $(if $(FUZZER),,tests/fuzz/replay.c)
# A whole relay, in which the null_*.c take the place of files of libparts.a.
fuzz_world := $(OUT)/tests/fuzz/fuzz_connection
$(eval $(call program,$(fuzz_world),tests/fuzz/fuzz_connection.c $(wildcard tests/fuzz/null_*.c) \
	$(fuzz_replay),$(loop_archive)))
$(fuzz_world): private CULVERT_LDFLAGS += $(WRAP_KEYS)
$(foreach f,$(filter-out $(fuzz_world),$(fuzz_tests)),$(eval $(if $(FUZZER), \
	$(call program,$(f),$(patsubst $(OUT)/%,%.c,$(f))), \
	$(call test_program,$(f),$(patsubst $(OUT)/%,%.c,$(f)) $(fuzz_replay),,$(PARTS_SO)))))

# ---- which tests: ONLY keeps those whose name contains one of its words ----

# $(1) names such as unit/http/test_fields; the words need not have the test_ or fuzz_
keep = $(if $(ONLY),$(foreach n,$(1),$(if $(strip $(foreach w,$(ONLY), \
	$(findstring $(w),$(n) $(subst /test_,/,$(subst /fuzz_,/,$(n)))))),$(n))),$(1))
kept_programs = $(addprefix $(OUT)/tests/,$(call keep,$(patsubst $(OUT)/tests/%,%,$(1))))
kept_pytest := $(call keep,$(patsubst tests/%.py,%,$(wildcard tests/*/test_*.py)))

# Programs that also run sanitized, and programs that need root and the kernel.
kept_portable := $(call kept_programs,$(unit_tests) $(loop_tests) $(fuzz_tests))
kept_kernel := $(call kept_programs,$(bpf_tests))

# What the kept tests need of a build without sanitizers, of one with address,undefined and of one
# with thread; the latter two are for the programs, and for one file each of tests/system.
needed_plain := $(kept_portable) $(kept_kernel) $(if $(filter-out lint/%,$(kept_pytest)),lab) \
	$(if $(filter bench/%,$(kept_pytest)),benches)
needed_sanitized := $(kept_portable) $(if $(filter system/test_leaks,$(kept_pytest)),$(OUT)/culvertd)
needed_threaded := $(if $(filter system/test_threads,$(kept_pytest)),$(OUT)/culvertd $(addprefix \
	$(OUT)/tests/unit/,base/test_spsc base/test_mailbox io/test_handoff tunnel/test_remotes))

.PHONY: tests needed-plain needed-sanitized needed-threaded
needed-plain: $(needed_plain)
needed-sanitized: $(needed_sanitized) ; @:
needed-threaded: $(needed_threaded) ; @:
tests: $(unit_tests) $(loop_tests) $(fuzz_tests) $(bpf_tests) lab benches ## build what tests need

run_tests = $(Q)$(PYTHON) tests/run --python $(PYTHON) --build $(OUT)

.PHONY: quick quick-built check check-root check-built check-datapaths check-zc
quick: ## build and run only the test programs that match, as in ONLY=unit/http/fields
	$(submake) quick-built

quick-built: $(kept_portable) $(kept_kernel)
	$(run_tests) --programs $(ONLY)

check: deps ## install what is missing, build and run every test, or those that match ONLY
	$(submake) check-built

check-root: ## check, but fail without root instead of skipping what needs it
	@[ "$$(id -u)" = 0 ] || { echo "make check-root: needs root" >&2; exit 1; }
	$(submake) check

check-built: needed-plain
ifeq ($(SANITIZE),)
	$(submake) SANITIZE=address,undefined needed-sanitized
	$(submake) SANITIZE=thread needed-threaded
endif
	$(run_tests) $(if $(SANITIZE),--sanitized,--sanitized-build $(BUILD)/asan) $(ONLY)

# make check runs on each data path what depends on it most; this, everything.
check-datapaths: lab ## run all system tests that have a relay on generic XDP and on kernel sockets
	$(submake) SANITIZE=address,undefined $(BUILD)/asan/culvertd
	$(run_tests) --datapaths generic,sock $(ONLY)

check-zc: lab ## run the tests of zero-copy, in an emulated machine; a part of check
	$(run_tests) zc/

.PHONY: chaos
chaos: $(OUT)/tests/loop/test_peer_chaos ## run two peers through 1000 seeds of dying links; a few are a part of check
	$(Q)PEER_CHAOS_SEEDS=1000 $<

.PHONY: fuzz fuzz-built
fuzz: deps ## run each fuzzer, or those that match ONLY, for FUZZ_SECONDS
	$(submake) FUZZER=1 fuzz-built

kept_fuzzers := $(call kept_programs,$(fuzz_tests))
fuzz-built: $(kept_fuzzers)
	$(Q)for f in $(kept_fuzzers); do \
		FUZZ_KEEP=$(FUZZ_KEEP) tests/fuzz/search $$f $(FUZZ_SECONDS) || exit 1; \
	done

.PHONY: demo nat-lab bench bench-quick bench-micro soak
demo: deps ## install what is missing, build, and show the relay at work in the lab (root)
	$(submake) lab
	$(Q)BUILD=$(abspath $(OUT)) PYTHON=$(PYTHON) tests/lab/demo

nat-lab: deps ## connect two peers behind NATs of each kind, print which go direct, write build/nat.json (root)
	$(submake) lab
	$(Q)BUILD=$(abspath $(OUT)) $(PYTHON) tests/lab/nat_lab.py

bench: deps ## measure the relay beside floors and others (root); ONLY=tunnel DURATION=1 ROUNDS=3
	$(submake) lab benches
	$(Q)BUILD=$(abspath $(OUT)) $(PYTHON) bench/run $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(DURATION),--seconds $(DURATION)) $(BENCH_ARGS) $(ONLY)

bench-quick: deps ## check half a minute of load: nothing is lost uncounted (root); a part of check
	$(submake) lab benches
	$(run_tests) bench/

bench-micro: deps ## time the smallest pieces, or those whose names contain ONLY
	$(submake) benches
	$(Q)for m in $(filter micro/%,$(BENCHES)); do \
		$(OUT)/bench/$$m $(ONLY) || [ $$? = 77 ] || exit 1; \
	done

soak: deps ## a relay at half load among peers that come, move and die, for SOAK_SECONDS (root)
	$(submake) lab
	$(Q)BUILD=$(abspath $(OUT)) SOAK_SECONDS=$(SOAK_SECONDS) $(PYTHON) tests/lab/soak.py

# ---- dependencies ----

.PHONY: deps
deps: ## install Debian packages (root) and build the pinned libraries; DISTDIR=DIR of archives
	$(Q)unmet=; \
	deploy/deps/packages.sh || { [ "$$(id -u)" != 0 ] && unmet=1; } || exit 1; \
	DISTDIR='$(DISTDIR)' JOBS=$(JOBS) deploy/deps/libraries.sh '$(DEPS)' && [ -z "$$unmet" ]

# ---- lint ----

LINTED = $(shell (git ls-files -co --exclude-standard 2>/dev/null || \
	find . -path ./.git -prune -o -path ./build -prune -o -type f -printf '%P\n') | sort)
LINTED_C = $(wildcard $(filter %.c %.h,$(LINTED)))

# cppcheck does not follow system headers, gives up on a file with a macro it cannot guess, and needs
# the lists of sys/queue.h to follow a loop over one.
CPPCHECK_FLAGS = --quiet --error-exitcode=1 -j$(JOBS) --std=c11 --inline-suppr --template=gcc \
	$(addprefix --include=,$(wildcard /usr/include/*/sys/queue.h)) \
	--enable=warning,portability,performance --suppressions-list=tests/lint/cppcheck.txt \
	-I. -D__GNUC__=12 -D__x86_64__ -D__CHAR_BIT__=8 \
	-D'SEC(name)=' -D'__uint(name,value)=int *name' -D'__type(name,type)=void *name' \
	-D'LIBBPF_OPTS(type,name,...)=struct type name = { __VA_ARGS__ }'

.PHONY: lint lint-files lint-tags lint-includes lint-lengths lint-format lint-calls lint-cppcheck \
	format hooks
lint: lint-files lint-calls lint-cppcheck ## all checks that run nothing
lint-files: lint-tags lint-includes lint-lengths lint-format ## those that look at one file at a time

lint-tags: ## licence tags
	$(call say,LINT,'licence tags')
	$(Q)$(PYTHON) tests/lint/spdx.py $(wildcard $(LINTED))

lint-includes: ## the directions of \#include
	$(call say,LINT,'include directions')
	$(Q)$(PYTHON) tests/lint/includes.py $(LINTED_C)

lint-lengths: ## the lengths of files and functions
	$(call say,LINT,lengths)
	$(Q)$(PYTHON) tests/lint/lengths.py $(LINTED_C) $(wildcard $(filter %.py,$(LINTED)))

lint-format: ## the layout of C, as .clang-format has it
	$(call say,LINT,clang-format)
	$(Q)$(if $(LINTED_C),$(CLANG_FORMAT) --dry-run -Werror $(LINTED_C))

lint-calls: $(PARTS_OBJS) $(OBJ)/control/main.o ## the directions of calls, and circles of files
	$(call say,LINT,'call directions')
	$(Q)$(PYTHON) tests/lint/calls.py $(OBJ) $^

lint-cppcheck: ## static analysis
	$(call say,LINT,cppcheck)
	$(Q)$(if $(LINTED_C),cppcheck $(CPPCHECK_FLAGS) $(filter %.c,$(LINTED_C)))

format: ## rewrite the C sources in the project's layout
	$(Q)$(CLANG_FORMAT) -i $(LINTED_C)

HOOK = $(shell git rev-parse --git-path hooks)/pre-commit
hooks: ## have git run lint-files on what is committed
	$(Q)[ ! -e $(HOOK) ] || grep -q tests/lint/pre-commit $(HOOK) || \
		{ echo "make hooks: there is another hook: $(HOOK)" >&2; exit 1; }
	$(Q)mkdir -p $(dir $(HOOK))
	$(Q)printf '%s\n' '#!/bin/sh' '[ ! -x tests/lint/pre-commit ] || exec tests/lint/pre-commit' \
		> $(HOOK)
	$(Q)chmod +x $(HOOK)

compile_commands.json: $(SKELETONS) FORCE ## how each source is compiled, for clangd and others
	$(call say,JSON,$@)
	$(Q)printf '%s\n' $(patsubst $(OBJ)/%.o,%.c,$(sort $(ALL_OBJS))) $(BPF_SRCS) | \
		CC='$(COMPILE)' BPF='$(CLANG) $(BPF_CFLAGS)' OBJ='$(OBJ)' DIR='$(CURDIR)' \
		awk -f tests/lint/compile_commands.awk > $@

# ---- install ----

SCDOC_SRCS := $(wildcard deploy/man/*.scd)
MAN_PAGES := $(patsubst deploy/man/%.scd,$(BUILD)/man/%,$(SCDOC_SRCS))
mandir = $(DESTDIR)$(PREFIX)/share/man/man$(subst .,,$(suffix $(1)))

EXAMPLES := $(wildcard deploy/example/*.c)

.PHONY: man install
man: $(MAN_PAGES) ## build the manual pages
# A line "@include FILE" stands for the file: what a page shows is what the tests compile.
$(BUILD)/man/%: deploy/man/%.scd $(EXAMPLES)
	$(call say,MAN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)awk 'NR == 1 && /SPDX/ { next } \
		/^@include / { while ((getline line < $$2) > 0) print line; next } { print }' $< \
		| scdoc > $@

# An existing configuration is the operator's: the new one goes beside it.
install: all man ## install under DESTDIR and PREFIX
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin
	$(if $(filter %/culvertd,$(PROGRAMS)),install -m 755 $(OUT)/culvertd $(DESTDIR)$(PREFIX)/sbin)
	$(if $(TOOLS),install -m 755 $(addprefix $(OUT)/,$(TOOLS)) $(DESTDIR)$(PREFIX)/bin)
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,include lib/pkgconfig share/doc/culvert)
	install -m 644 control/library/culvert.h $(DESTDIR)$(PREFIX)/include
	install -m 644 $(LIBCULVERT) $(DESTDIR)$(PREFIX)/lib
	sed -e 's#@PREFIX@#$(PREFIX)#' -e 's#@VERSION@#$(VERSION)#' -e 's#@LIBS@#$(LIBCULVERT_LIBS)#' \
		deploy/culvert.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/culvert.pc
	install -m 644 README.md SECURITY.md CHANGELOG.md deploy/doc/*.md $(EXAMPLES) \
		$(DESTDIR)$(PREFIX)/share/doc/culvert
	$(foreach u,$(wildcard deploy/*.service), \
		install -d $(DESTDIR)$(PREFIX)/lib/systemd/system && \
		sed 's#@PREFIX@#$(PREFIX)#g' $(u) > $(DESTDIR)$(PREFIX)/lib/systemd/system/$(notdir $(u)) &&) :
	install -m 755 deploy/tune-nic $(DESTDIR)$(PREFIX)/sbin/culvert-tune-nic
	$(foreach u,$(wildcard deploy/sysusers.d/*.conf), \
		install -d $(DESTDIR)$(PREFIX)/lib/sysusers.d && \
		install -m 644 $(u) $(DESTDIR)$(PREFIX)/lib/sysusers.d &&) :
	$(if $(DESTDIR),,deploy/make-user $(PREFIX)/lib/sysusers.d/culvert.conf)
	$(foreach c,$(wildcard deploy/culvert.conf), \
		install -d $(DESTDIR)$(SYSCONFDIR)/culvert && \
		install -m 644 $(c) $(DESTDIR)$(SYSCONFDIR)/culvert/culvert.conf$(if \
			$(wildcard $(DESTDIR)$(SYSCONFDIR)/culvert/culvert.conf),.new) &&) :
	$(foreach m,$(MAN_PAGES),install -d $(call mandir,$(m)) && \
		install -m 644 $(m) $(call mandir,$(m)) &&) :

.PHONY: clean distclean help
clean: ## remove what was built, but keep the libraries
	$(Q)[ ! -d $(BUILD) ] || find $(BUILD) -mindepth 1 -maxdepth 1 \
		! -path '$(patsubst $(CURDIR)/%,%,$(DEPS))' ! -path '$(DEPS)' -exec rm -rf {} +

distclean: ## remove everything that was built
	$(Q)rm -rf $(BUILD)

help: ## this list
	@awk -F ':.*## ' '/^[a-z_.-]+:.*## / { sub(/\\#/, "#", $$2); printf "  %-21s %s\n", $$1, $$2 }' \
		$(firstword $(MAKEFILE_LIST))
	@echo
	@echo '  V=1            show commands           ONLY="a b"     what contains one of these (tests,'
	@echo '  JOBS=n         parallel jobs                          fuzzers, parts of the bench)'
	@echo '  BUILD=DIR      where to build          DEPS=DIR       the built libraries'
	@echo '  CC= CFLAGS= CPPFLAGS= LDFLAGS=         CLANG= CLANG_FORMAT= BPFTOOL= PYTHON=   the tools'
	@echo '  WERROR=0       let warnings pass       LTO=0          link ngtcp2 as it is'
	@echo '  IPSEC_MB=0     without libipsec-mb     SANITIZE=address,undefined or thread, in'
	@echo '  DISTDIR=DIR    of source archives      BUILD/asan or BUILD/tsan'
	@echo '  PREFIX= SYSCONFDIR= DESTDIR=           for install'
	@echo '  DURATION=s ROUNDS=n BENCH_ARGS=        for bench; FUZZ_SECONDS=s for fuzz;'
	@echo '  FUZZ_KEEP=1    fuzz adds to tests/fuzz/corpus what it found; SOAK_SECONDS=s, SOAK_RATE=n for soak'

DEPFILES := $(patsubst %.o,%.d,$(sort $(ALL_OBJS))) \
	$(patsubst %.bpf.c,$(BPF)/%.bpf.d,$(notdir $(BPF_SRCS)))
-include $(wildcard $(DEPFILES))
