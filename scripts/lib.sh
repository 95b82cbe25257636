# What the scripts share. Sourced, from any directory; leaves the shell in the checkout.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"
venv=${REGFS_VENV:-$root/.venv}
PATH=$venv/bin:$PATH

say() { printf '%s\n' "$*"; }

die() {
    printf '%s: %s\n' "scripts/${0##*/}" "$*" >&2
    exit 1
}
