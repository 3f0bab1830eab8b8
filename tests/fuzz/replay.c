/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * replay - main() of a fuzz target without a fuzzer: `make check` reruns the corpus with it.
 *
 *   fuzz_NAME FILE|FOLDER...
 *
 * Each input is tried whole and cut short at every length, in a heap block of exactly that size, so
 * that a sanitizer sees the first byte read past the end.  The empty input is always tried.  A
 * target that takes long for one input may define fuzz_cuts_max: how many lengths to cut it to.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

enum { CUTS_MAX = 2048 }; /* longer inputs are cut at their first bytes only */

extern const size_t fuzz_cuts_max __attribute__((weak));

/* For targets that keep state from one input to the next: here they must not. */
extern const bool fuzz_is_replay;
const bool fuzz_is_replay = true;

__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

static size_t inputs;

static void try_input(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);

	if (!exact)
		abort();
	/* An empty input gets the byte past its end, as from libFuzzer. */
	if (size)
		memcpy(exact, data, size);
	LLVMFuzzerTestOneInput(exact + (size ? 0 : 1), size);
	free(exact);
	inputs++;
}

static int replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	int err = -EIO;
	long size, cuts = &fuzz_cuts_max ? (long)fuzz_cuts_max + 1 : CUTS_MAX;

	if (!file)
		return -errno;
	if (fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET))
		goto close_file;
	data = malloc((size_t)size + 1);
	if (!data || fread(data, 1, (size_t)size, file) != (size_t)size)
		goto free_data;

	try_input(data, (size_t)size);
	for (long cut = 1; cut < size && cut < cuts; cut++)
		try_input(data, (size_t)cut);
	err = 0;

free_data:
	free(data);
close_file:
	fclose(file);
	return err;
}

static int replay(const char *path)
{
	struct dirent **entries;
	struct stat st;
	int count, err = 0;

	if (stat(path, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return replay_file(path);

	count = scandir(path, &entries, NULL, alphasort);
	if (count < 0)
		return -errno;
	for (int i = 0; i < count; i++) {
		char *name;

		if (entries[i]->d_name[0] != '.' && !err) {
			if (asprintf(&name, "%s/%s", path, entries[i]->d_name) < 0)
				abort();
			err = replay_file(name);
			if (err)
				fprintf(stderr, "%s: %s\n", name, strerror(-err));
			free(name);
		}
		free(entries[i]);
	}
	free(entries);
	return err;
}

int main(int argc, char **argv)
{
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);

	try_input(NULL, 0);
	for (int i = 1; i < argc; i++) {
		int err = replay(argv[i]);

		if (err) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(-err));
			return EXIT_FAILURE;
		}
	}
	printf("%zu inputs\n", inputs);
	return EXIT_SUCCESS;
}
