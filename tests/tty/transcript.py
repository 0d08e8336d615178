#!/usr/bin/env python3
"""Types at a pseudo terminal under random modes and prints what both ends see: a transcript to compare two kernels by.

usage: transcript.py SEED STEPS

What the master reads is printed at the end in one piece, since it may come a little later on a busy machine.
"""
import fcntl
import os
import random
import select
import struct
import sys
import termios
import time

LOCAL = "ISIG ICANON ECHO ECHOE ECHOK ECHOKE ECHOCTL ECHOPRT ECHONL IEXTEN NOFLSH"
INPUT = "ICRNL INLCR IGNCR ISTRIP IUCLC IXON IXANY IUTF8 PARMRK"
OUTPUT = "OPOST ONLCR OCRNL ONOCR ONLRET XTABS OLCUC"
VALUES = {"IUTF8": 0o40000, "IUCLC": 0o1000, "OLCUC": 2, "ECHOPRT": 0o2000, "ECHOKE": 0o4000, "ECHOCTL": 0o1000}
# Erasing and its kin, line ends, flow control, pieces of UTF-8 characters; no signals, whose flushing depends on the moment.
SPECIAL = b"\x7f\x15\x04\x11\x13\x12\x17\x16\n\r\t\x08\xc3\xa4\xff\0 _;!AZ\x1b"


def flags(names):
    return [VALUES[n] if n in VALUES else getattr(termios, n) for n in names.split()]


def text(chance, longest):
    size = 1 + chance.randrange(longest)
    return bytes(chance.choice(SPECIAL) if chance.random() < 0.33 else chance.randrange(97, 123) for _ in range(size))


def change(chance, slave):
    t = termios.tcgetattr(slave)
    for _ in range(1 + chance.randrange(3)):
        which, names = chance.choice(((3, LOCAL), (3, LOCAL), (0, INPUT), (1, OUTPUT)))
        t[which] ^= chance.choice(flags(names))
    if chance.random() < 0.2:
        t[3] |= sum(flags("ICANON ECHO ECHOE IEXTEN ECHOK ECHOKE ECHOCTL"))
    for which, char in ((termios.VEOL, b";"), (termios.VEOL2, b"!")):
        if chance.random() < 0.2:
            t[6][which] = chance.choice((b"\0", char))
    termios.tcsetattr(slave, termios.TCSANOW, t)
    return "set %x %x %x" % (t[0], t[1], t[3])


def attempt(call, *args):
    try:
        return call(*args)
    except BlockingIOError:
        return "again"


def step(chance, master, slave):
    kind = chance.randrange(8)
    if kind == 0:
        return change(chance, slave)
    if kind < 5:
        data = text(chance, 12)
        return "typed %r %r" % (data, attempt(os.write, master, data))
    if kind == 5:
        data = text(chance, 10)
        return "written %r %r" % (data, attempt(os.write, slave, data))
    if kind == 6:
        return "read %r" % attempt(os.read, slave, 1 + chance.randrange(20))
    count = struct.unpack("i", fcntl.ioctl(slave, termios.FIONREAD, b"\0\0\0\0"))[0]
    return "waiting %d" % count


def main():
    chance = random.Random(int(sys.argv[1]))
    master, slave = os.openpty()
    os.set_blocking(master, False)
    os.set_blocking(slave, False)
    shown = b""
    for _ in range(int(sys.argv[2])):
        line = step(chance, master, slave)
        # Linux works on input a little later.
        select.select([slave], [slave], [], 0)
        time.sleep(0.008)
        try:
            shown += os.read(master, 65536)
        except BlockingIOError:
            pass
        print(line)
    print("shown %r" % shown)


main()
