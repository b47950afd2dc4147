#!/usr/bin/env bash
# Makes a bare git repository in the folder $1, with the project of examples/single-project in its folder waffle_hut,
# and prints the URL that DBT_PROJECT_DIRS takes. Made anew each time: what lies in $1/waffles.git is replaced.
set -euo pipefail
target=${1:?usage: make_repository.sh FOLDER}
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../single-project" && pwd)
mkdir -p "$target"
target=$(cd "$target" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

git init --quiet --initial-branch main "$work"
mkdir "$work/waffle_hut"
cp -R "$source/." "$work/waffle_hut"
git -C "$work" add .
git -C "$work" -c user.name=example -c user.email=example@example.com commit --quiet --message "A chain of waffle stands"
rm -rf "$target/waffles.git"
git clone --quiet --bare "$work" "$target/waffles.git"
echo "git+file://$target/waffles.git#main:waffle_hut"
