#!/usr/bin/env python3
"""Checks that the host call table stays within the limits of scripts/host-calls.limits.

usage: check-host-calls.py [--self-test]
"""
import importlib.util
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def load():
    spec = importlib.util.spec_from_file_location("gen_host_calls", os.path.join(HERE, "gen-host-calls.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(argv):
    generator = load()
    if argv[1:] == ["--self-test"]:
        return generator.self_test()
    return generator.main(["", os.path.join(HERE, "../src/host/calls.tbl"), "check", os.path.join(HERE, "host-calls.limits")])


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.exit(main(sys.argv))
