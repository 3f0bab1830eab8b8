# SPDX-License-Identifier: GPL-3.0-or-later
#
# Prints compile_commands.json for the sources named on standard input, one a line.  Environment: CC and
# BPF, the commands that compile C and BPF without the names of files; OBJ, the folder of objects; DIR,
# where they are run.

function text(s) { gsub(/[\\"]/, "\\\\&", s); return "\"" s "\"" }

BEGIN { print "[" }
{
	bpf = /\.bpf\.c$/
	object = $0
	sub(/\.c$/, ".o", object)
	object = ENVIRON["OBJ"] "/" object
	command = ENVIRON[bpf ? "BPF" : "CC"] " -c -o " object " " $0
	printf("%s{ \"directory\": %s, \"file\": %s, \"output\": %s,\n  \"command\": %s }",
		(NR > 1 ? ",\n" : ""), text(ENVIRON["DIR"]), text($0), text(object), text(command))
}
END { print "\n]" }
