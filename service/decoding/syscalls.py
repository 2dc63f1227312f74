"""A filter on system calls: a codec that was taken over opens no socket, runs no program and changes no file.

Linux's seccomp, https://docs.kernel.org/userspace-api/seccomp_filter.html. A list of what is refused and not of what is
allowed: decoders, their threads and Python's own imports go on as they are.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator

GET_SECCOMP, SET_SECCOMP, MODE_FILTER = 21, 22, 2
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
# Instructions of the kernel's packet filter: load a word, compare, test bits, return.
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER_AT, MACHINE_AT, ARGUMENTS_AT = 0, 4, 16
# By machine: what the kernel calls it, and the column of the tables below.
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
# Another way to call the same things, on x86_64.
X32 = 0x40000000

Instruction = tuple[int, int, int, int]
# Of a call on x86_64 and aarch64; None where a machine has no such call.
Numbers = tuple[int | None, int | None]

REFUSED: dict[str, Numbers] = {
    "socket": (41, 198), "socketpair": (53, 199), "io_uring_setup": (425, 425),
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None),
    "kill": (62, 129), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438),
    "creat": (85, None), "truncate": (76, 45), "mknod": (133, None), "mknodat": (259, 33),
    "unlink": (87, None), "unlinkat": (263, 35), "rmdir": (84, None), "mkdir": (83, None), "mkdirat": (258, 34),
    "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276),
    "link": (86, None), "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "chown": (92, None), "fchownat": (260, 54),
    "mount": (165, 40), "umount2": (166, 39), "unshare": (272, 97), "setns": (308, 268), "chroot": (161, 51),
    "bpf": (321, 280), "userfaultfd": (323, 282), "perf_event_open": (298, 241), "keyctl": (250, 219),
    "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104),
}  # fmt: skip
# What these do stands in memory, where no filter looks: the C library has an older call for the same.
UNKNOWN: dict[str, Numbers] = {"clone3": (435, 435), "openat2": (437, 437)}
# open and openat, and which of their arguments says whether a file may be changed.
OPENING: tuple[tuple[Numbers, int], ...] = (((2, None), 1), ((257, 56), 2))
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CLONE, THREAD = (56, 220), 0x00010000
TGKILL = (234, 131)


def filterable() -> bool:
    """Whether this kernel and machine are known to take the filter."""
    return platform.machine() in MACHINES and ctypes.CDLL(None).prctl(GET_SECCOMP, 0, 0, 0, 0) >= 0


def refuse_the_rest() -> None:
    """Put the filter in place for this process, for good. Raises OSError.

    The process must have given up gaining privileges.
    """
    machine, column = MACHINES[platform.machine()]
    program = assembled(list(_program(machine, column)))
    buffer = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(SET_SECCOMP, MODE_FILTER, ctypes.c_char_p(head), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp refused")


def assembled(program: list[Instruction]) -> bytes:
    """As the kernel reads it."""
    return b"".join(struct.pack("HBBI", code, yes, no, value) for code, yes, no, value in program)


def _program(machine: int, column: int) -> Iterator[Instruction]:
    yield LOAD, 0, 0, MACHINE_AT
    yield EQUAL, 1, 0, machine
    yield from _refuse()
    yield LOAD, 0, 0, NUMBER_AT
    yield AT_LEAST, 0, 1, X32
    yield from _refuse()
    for numbers in REFUSED.values():
        yield from _unless(numbers[column], errno.EPERM)
    for numbers in UNKNOWN.values():
        yield from _unless(numbers[column], errno.ENOSYS)
    for numbers, argument in OPENING:
        yield from _judged(numbers[column], argument, (ANY_BIT, WRITING), refuse_if=True)
    yield from _judged(CLONE[column], 0, (ANY_BIT, THREAD), refuse_if=False)
    # To itself: abort() needs it.
    yield from _judged(TGKILL[column], 0, (EQUAL, os.getpid()), refuse_if=False)
    yield RETURN, 0, 0, ALLOW


def _refuse(code: int = errno.EPERM) -> Iterator[Instruction]:
    yield RETURN, 0, 0, REFUSE | code


def _unless(number: int | None, code: int) -> Iterator[Instruction]:
    if number is not None:
        yield EQUAL, 0, 1, number
        yield from _refuse(code)


def _judged(number: int | None, argument: int, test: tuple[int, int], *, refuse_if: bool) -> Iterator[Instruction]:
    """A call that is refused if the test of one of its arguments holds, or if it does not."""
    if number is None:
        return
    yield EQUAL, 0, 4, number
    # Of each argument the lower half: these are whole numbers of 32 bits. Little endian.
    yield LOAD, 0, 0, ARGUMENTS_AT + 8 * argument
    yield test[0], *((0, 1) if refuse_if else (1, 0)), test[1]
    yield from _refuse()
    yield RETURN, 0, 0, ALLOW
