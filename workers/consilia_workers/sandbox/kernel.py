"""What Linux is asked to take away from a process: Landlock for files and the network, seccomp for system calls.

Both need no privileges, hold for every thread that the process starts, and cannot be undone; other processes it cannot
start. Called through libc, for
Python has no bindings of its own for them. Landlock: Linux 5.13 and later, the kernel's
Documentation/userspace-api/landlock.rst; seccomp's filters are programs of classic BPF,
Documentation/userspace-api/seccomp_filter.rst.
"""

import ctypes
import os
import platform
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

_LIBC = ctypes.CDLL(None, use_errno=True)
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_SET_NO_NEW_PRIVS, _SET_SECCOMP, _SET_DUMPABLE, _FILTER = 38, 22, 4, 2
_PATH_BENEATH = 1

_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_READING = _EXECUTE | _READ_FILE | _READ_DIR
_FILE_RIGHTS: Mapping[int, int] = MappingProxyType(
    {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
)
"""All rights over files, by the first version of Landlock that knows them."""
_REFER, _IOCTL = 1 << 13, 1 << 15
_OF_FILES = _EXECUTE | _READ_FILE | 1 << 1 | 1 << 14 | _IOCTL
"""Those that a file, as opposed to a folder, can have."""
_NETWORK, _SCOPES = 3, 3

_ARCHITECTURES: Mapping[str, int] = MappingProxyType({"x86_64": 0xC000003E, "aarch64": 0xC00000B7})
_SINCE_ONE_TABLE: Mapping[str, int] = MappingProxyType({"fchmodat2": 452, "setxattrat": 463, "removexattrat": 466})
"""Newer calls have one number on all architectures."""
_CALLS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "x86_64": {
            "socket": 41, "connect": 42, "sendmsg": 46, "bind": 49, "listen": 50, "socketpair": 53,
            "shmget": 29, "shmat": 30, "semget": 64, "msgget": 68, "msgsnd": 69, "ptrace": 101, "process_vm_readv": 310,
            "process_vm_writev": 311, "kill": 62, "tkill": 200, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297,
            "fork": 57, "vfork": 58, "execve": 59, "execveat": 322, "mount": 165,
            "unshare": 272, "setns": 308, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "keyctl": 250,
            "add_key": 248, "request_key": 249, "io_uring_setup": 425, "mq_open": 240, "pidfd_open": 434,
            "pidfd_getfd": 438, "pidfd_send_signal": 424, "name_to_handle_at": 303, "open_by_handle_at": 304,
            "memfd_create": 319, "flock": 73, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197,
            "lremovexattr": 198, "fremovexattr": 199, "chmod": 90, "fchmod": 91, "fchmodat": 268, "chown": 92,
            "fchown": 93, "lchown": 94, "fchownat": 260, "utime": 132, "utimes": 235, "futimesat": 261,
            "utimensat": 280, **_SINCE_ONE_TABLE,
        },
        "aarch64": {
            "socket": 198, "connect": 203, "sendmsg": 211, "bind": 200, "listen": 201, "socketpair": 199,
            "shmget": 194, "shmat": 196, "semget": 190, "msgget": 186, "msgsnd": 189, "ptrace": 117,
            "process_vm_readv": 270, "process_vm_writev": 271, "kill": 129, "tkill": 130, "rt_sigqueueinfo": 138,
            "rt_tgsigqueueinfo": 240, "execve": 221,
            "execveat": 281, "mount": 40, "unshare": 97, "setns": 268, "bpf": 280, "perf_event_open": 241,
            "userfaultfd": 282, "keyctl": 219, "add_key": 217, "request_key": 218, "io_uring_setup": 425,
            "mq_open": 180, "pidfd_open": 434, "pidfd_getfd": 438, "pidfd_send_signal": 424,
            "name_to_handle_at": 264, "open_by_handle_at": 265, "memfd_create": 279, "flock": 32, "setxattr": 5,
            "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16, "fchmod": 52,
            "fchmodat": 53, "fchownat": 54, "fchown": 55, "utimensat": 88, **_SINCE_ONE_TABLE,
        },
    }
)  # fmt: skip
"""System calls that a process which only computes has no use for: by which it could reach another, or leave a mark on
a file that Landlock knows nothing of."""

_LIMITED: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "x86_64": {"clone": 56, "clone3": 435, "tgkill": 234, "prlimit64": 302},
        "aarch64": {"clone": 220, "clone3": 435, "tgkill": 131, "prlimit64": 261},
    }
)
"""System calls that threads are made of, allowed for that alone: a process of its own would outlive the one that is
ended, still with the records in its memory."""
_THREAD = 0x10000
"""The flag of clone by which a new thread belongs to the same process, and ends with it."""


class KernelError(OSError):
    """The kernel does not do what is asked."""


def landlock_version() -> int:
    """Which version of Landlock the kernel has; 0 if none, or if it is switched off."""
    return max(int(_LIBC.syscall(_CREATE_RULESET, None, 0, 1)), 0)


def refuse_new_privileges() -> None:
    """Neither this process nor what it starts gains rights by executing a file; both mechanisms demand it."""
    _checked(_LIBC.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")


def hide_memory() -> None:
    """No other process of the same user may look into this one's memory, or at what /proc says of it."""
    _checked(_LIBC.prctl(_SET_DUMPABLE, 0, 0, 0, 0), "prctl(PR_SET_DUMPABLE)")


def restrict_files(readable: Iterable[Path], writable: Iterable[Path]) -> None:
    """From now on only these files and what is below them can be opened; no TCP, no signals to other processes.

    Raises:
        KernelError: there is no Landlock.
    """
    version = landlock_version()
    if version < 1:
        raise KernelError("this kernel has no Landlock, or it is switched off")
    handled = max(rights for since, rights in _FILE_RIGHTS.items() if since <= version)
    attributes = [handled, *([_NETWORK] if version >= 4 else []), *([_SCOPES] if version >= 6 else [])]
    packed = struct.pack(f"={len(attributes)}Q", *attributes)
    ruleset = _checked(_LIBC.syscall(_CREATE_RULESET, packed, len(packed), 0), "landlock_create_ruleset")
    try:
        for path in readable:
            _allow(ruleset, path, _READING & handled)
        for path in writable:
            _allow(ruleset, path, handled & ~_REFER & ~_IOCTL)
        _checked(_LIBC.syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        packed = struct.pack("=Qi", rights if path.is_dir() else rights & _OF_FILES, place)
        _checked(_LIBC.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, packed, 0), f"landlock_add_rule for {path}")
    finally:
        os.close(place)


def restrict_calls() -> None:
    """From now on calls by which a process reaches others fail with EPERM.

    Raises:
        KernelError: the machine is of an architecture whose calls are not known here, or has no seccomp.
    """
    machine = platform.machine()
    if machine not in _CALLS:
        raise KernelError(f"the system calls of {machine} are not known to Consilia")
    program = _program(_ARCHITECTURES[machine], machine, os.getpid())
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HL", len(program) // 8, ctypes.addressof(buffer))
    _checked(_LIBC.prctl(_SET_SECCOMP, _FILTER, header, 0, 0), "prctl(PR_SET_SECCOMP)")


_Line = tuple[int, int, int, int]
_LOAD, _EQUAL, _GREATER, _ANY_BIT, _GIVE = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _REFUSE, _UNKNOWN, _ALLOW = 0x80000000, 0x00050001, 0x00050026, 0x7FFF0000
"""What a filter gives: an end to the process, EPERM, ENOSYS, or leave."""
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Where things lie in what a filter sees; of the argument its lower half, which is all of a flag's or a process's."""


def _program(architecture: int, machine: str, own: int) -> bytes:
    """Kill what is of another architecture; refuse the calls that are denied, and x86-64's second numbering of them."""
    denied = sorted(_CALLS[machine].values())
    lines = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), (_GIVE, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    if machine == "x86_64":
        lines += [(_GREATER, 0, 1, 0x40000000), (_GIVE, 0, 0, _REFUSE)]
    lines += _limits(_LIMITED[machine], own)
    for place, number in enumerate(denied):
        lines.append((_EQUAL, len(denied) - place, 0, number))
    lines += [(_GIVE, 0, 0, _ALLOW), (_GIVE, 0, 0, _REFUSE)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _limits(numbers: Mapping[str, int], own: int) -> list[_Line]:
    """What is allowed for some arguments only.

    No filter sees clone3's flags, which lie in memory; where the kernel does not know it, libc uses clone.
    """
    return [
        (_EQUAL, 0, 1, numbers["clone3"]),
        (_GIVE, 0, 0, _UNKNOWN),
        *_if_first_argument(numbers["clone"], (_ANY_BIT, 0, 1, _THREAD)),
        *_if_first_argument(numbers["tgkill"], (_EQUAL, 0, 1, own)),
        *_if_first_argument(numbers["prlimit64"], (_EQUAL, 0, 1, 0)),
    ]


def _if_first_argument(number: int, condition: _Line) -> list[_Line]:
    """Allow a call whose first argument fulfils the condition, refuse it otherwise."""
    block = [(_LOAD, 0, 0, _FIRST_ARGUMENT), condition, (_GIVE, 0, 0, _ALLOW), (_GIVE, 0, 0, _REFUSE)]
    return [(_EQUAL, 0, len(block), number), *block]


def _checked(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise KernelError(error, f"{what}: {os.strerror(error)}")
    return int(result)
