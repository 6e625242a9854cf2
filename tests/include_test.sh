#!/bin/bash
# The architecture test: src/CMakeLists.txt says which folder may use which, and no #include may say otherwise.
# Reads its folder(NAME USES folder... LIBS ...) lines; a folder may include its own files and those it uses,
# always as "folder/file.h". tests/unit/NAME may include what src/NAME may. Every header compiles alone.
set -euo pipefail
cd "$(dirname "$0")/.."

lines=$(grep -E '^folder\(' src/CMakeLists.txt | sed -E 's/^folder\(([^)]*)\).*/\1/; s/LIBS .*//')
problems=0
problem() { echo "include_test: $*"; problems=$((problems + 1)); }

declare -A may
while read -r name uses_word uses; do
    [ "$uses_word" = USES ] || { problem "src/CMakeLists.txt: cannot read the line of folder $name"; continue; }
    for used in $uses; do
        [ -n "${may[$used]+set}" ] || problem "src/CMakeLists.txt: $name uses $used, which does not stand before it"
    done
    may[$name]=" $name $uses "
done <<< "$lines"
[ ${#may[@]} -gt 0 ] || problem "src/CMakeLists.txt: no folder() lines found"

# check_file FILE ALLOWED: every #include "..." of FILE names one of the ALLOWED folders
check_file()
{
    local line where path folder
    while IFS=: read -r where line; do
        path=$(sed -E 's/^[^"]*"([^"]*)".*/\1/' <<< "$line")
        folder=${path%%/*}
        # tests may share headers of their own: below tests/unit, or beside them
        if [[ $1 == tests/* ]] && { [ -e "tests/unit/$path" ] || [ -e "${1%/*}/$path" ]; }; then continue; fi
        if [ "$folder" = "$path" ]; then
            problem "$1:$where: \"$path\" does not say which folder it is in"
        elif [[ $2 != *" $folder "* ]]; then
            problem "$1:$where: \"$path\": this folder may use only:$2"
        elif [ ! -e "src/$path" ]; then
            problem "$1:$where: \"$path\": there is no such file"
        fi
    done < <(grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$1" || true)
}

for dir in src/*/; do
    name=$(basename "$dir")
    if [ -z "${may[$name]+set}" ]; then
        problem "src/$name has no folder() line in src/CMakeLists.txt"
        continue
    fi
    for file in "$dir"*.[ch] "$dir"*.def; do
        if [ -e "$file" ]; then check_file "$file" "${may[$name]}"; fi
    done
    for file in tests/unit/"$name"/*.c; do
        if [ -e "$file" ]; then check_file "$file" "${may[$name]}"; fi
    done
done
if [ -e src/main.c ]; then
    top=$(sed -nE 's/^program\([^ ]+ main\.c ([^ )]+)\).*/\1/p' src/CMakeLists.txt)
    check_file src/main.c "${may[$top]}"
fi
for file in tests/fuzz/*_*.c; do
    if [ -e "$file" ]; then
        name=$(basename "$file")
        check_file "$file" "${may[${name%%_*}]:- }"
    fi
done

flags=$(pkg-config --cflags libuv hiredis libpq openssl inih libprotobuf-c)
for header in src/*/*.h; do
    # shellcheck disable=SC2086
    out=$(gcc -std=gnu17 -D_GNU_SOURCE -Isrc $flags -x c -fsyntax-only "$header" 2>&1) ||
        problem "$header does not compile alone: $(grep -m1 -E 'error:' <<< "$out")"
done

if [ "$problems" -gt 0 ]; then
    echo "include_test: $problems problems"
    exit 1
fi
echo "include_test: ${#may[@]} folders keep to the architecture"
