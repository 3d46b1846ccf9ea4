# Shared by the scripts beside it that start and stop a service; sourced, not run.
# shellcheck shell=bash

cache=${MILLRACE_CACHE:-$HOME/.cache/millrace}
program=$(basename "$0")

say() { printf '%s: %s\n' "$program" "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}

# Reads `start|stop --dir DIR [--port PORT]` into $action, $dir and $port.
parse_arguments() {
    action=${1-}
    dir=
    port=
    [[ $action == start || $action == stop ]] || die "use: $program start|stop --dir DIR [--port PORT]"
    shift
    while [[ $# -gt 0 ]]; do
        [[ $# -ge 2 ]] || die "$1 needs a value"
        case $1 in
        --dir) dir=$2 ;;
        --port) port=$2 ;;
        *) parse_option "$1" "$2" || die "unknown option $1" ;;
        esac
        shift 2
    done
    [[ -n $dir ]] || die "--dir is missing: name a folder for the data, the log and the pid file"
    [[ $action == stop ]] || mkdir -p "$dir"
    [[ -d $dir ]] || die "there is no folder $dir"
    dir=$(cd "$dir" && pwd -P)
}

# Scripts with options of their own define this again.
parse_option() { return 1; }

# A loopback port nobody listens on, below the range the kernel hands out to clients. Somebody may
# still take it before we do, which is why callers try again on another.
free_port() {
    local candidate
    while :; do
        candidate=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        (: <"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null || break
    done
    printf '%s\n' "$candidate"
}

# Prints the pid in PID_FILE if that process is there and is ours, that is, names $dir on its
# command line or has it as its working folder: after a crash the number may belong to another.
live_pid() { # PID_FILE
    local pid
    [[ -f $1 ]] || return 1
    read -r pid <"$1" || return 1
    [[ -n $pid && -r /proc/$pid/cmdline ]] || return 1
    [[ $(readlink "/proc/$pid/cwd" 2>/dev/null) == "$dir"* ]] ||
        tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "$dir" || return 1
    printf '%s\n' "$pid"
}

# True if that process is there to stay. One that was killed a moment ago still holds its port and
# its locks until the kernel has taken it apart; this waits for that.
is_running() { # PID_FILE
    local pid flags pending
    while pid=$(live_pid "$1"); do
        flags=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d' ' -f7) || return 1
        pending=$(awk '/^(SigPnd|ShdPnd)/ { print "0x" $2 }' "/proc/$pid/status" 2>/dev/null) || return 1
        # 0x4 is the kernel's PF_EXITING; 0x100 is the bit of SIGKILL.
        local dying=$((${flags:-4} & 0x4)) mask
        for mask in $pending; do dying=$((dying | (mask & 0x100))); done
        ((dying)) || return 0
        sleep 0.02
    done
    return 1
}

# Asks the process of PID_FILE to end, and kills it if it has not after SECONDS.
stop_process() { # PID_FILE SECONDS
    local pid deadline
    if pid=$(live_pid "$1"); then
        kill -TERM "$pid" 2>/dev/null || true
        deadline=$((SECONDS + $2))
        while live_pid "$1" >/dev/null; do
            if ((SECONDS >= deadline)); then
                say "process $pid did not end in $2 s: killing it"
                kill -KILL "$pid" 2>/dev/null || true
                sleep 0.2
            fi
            sleep 0.05
        done
    fi
    rm -f "$1"
}
