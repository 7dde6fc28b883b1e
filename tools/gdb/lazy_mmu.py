"""For gdb, which `make debug` waits for: symbols before the MMU is on, and commands that know this kernel.

    walk ADDRESS     the descriptors that translate it, level by level, from physical memory
    tables           all that TTBR0_EL1 and TTBR1_EL1 translate: runs of like descriptors, and where the image's parts begin
    task [N]         mode, debt and figures of a task; without a number, of the current one
    events [N]       the last N events of each core (trace=on records them), 16 without a number

They only read, so they may be used wherever the kernel is stopped.
"""

import os
import subprocess
import tempfile

import gdb

# By the byte that a task keeps (crates/lazy-mmu/src/policy.rs).
POLICIES = ["v3", "linux7", "eager", "flat", "reenter"]
# Where the parts of the image begin, and where it ends (linker.ld).
PARTS = ["__image_start", "__text_end", "__rodata_end", "__stacks_start", "__image_end"]
OUTPUT = 0x0000FFFFFFFFF000


def evaluate(expression, language):
    """Evaluates in a language: before the MMU is on gdb knows none by the place where the kernel stands."""
    before = gdb.parameter("language")
    gdb.execute("set language " + language, to_string=True)
    try:
        return gdb.parse_and_eval(expression)
    finally:
        gdb.execute("set language " + before, to_string=True)


def number(expression):
    return int(evaluate(expression, "c")) & (1 << 64) - 1


def load_offset():
    """How far the linked addresses are above the physical ones (linker.ld)."""
    return number("(unsigned long)&LOAD_OFFSET")


def add_physical_symbols():
    """The image runs at its physical addresses until the boot code turns the MMU on."""
    gdb.execute("set confirm off")
    image = gdb.current_progspace().filename
    if not image:
        raise gdb.GdbError("gdb was started without the kernel: give it as the last word")
    gdb.execute('add-symbol-file "%s" -o %#x' % (image, (1 << 64) - load_offset()), to_string=True)


def linked(name):
    """A static, at the address that it is linked at: it has two sets of symbols."""
    value = evaluate(name, "rust")
    address = int(value.address)
    if address < 1 << 63:
        address += load_offset()
    return gdb.Value(address).cast(value.type.pointer()).dereference()


def physical(address, count):
    """Reads 64-bit words of physical memory: QEMU's gdb server can."""
    gdb.execute("maintenance packet Qqemu.PhyMemMode:1", to_string=True)
    try:
        memory = bytes(gdb.selected_inferior().read_memory(address, 8 * count))
    finally:
        gdb.execute("maintenance packet Qqemu.PhyMemMode:0", to_string=True)
    return [int.from_bytes(memory[at : at + 8], "little") for at in range(0, len(memory), 8)]


def descriptor(level, word):
    """What a descriptor says."""
    if not word & 1:
        return "not valid" if word == 0 else "not valid (broken, or a note)"
    output = word & OUTPUT
    if word & 2 and level < 3:
        return "table at %#x" % output
    if not word & 2 and level == 3:
        return "reserved"
    size = {1: "1 GiB block", 2: "2 MiB block", 3: "page"}.get(level, "reserved")
    access = "r-" if word & 1 << 7 else "rw"
    execute = "-" if word & 1 << 53 else "x"
    more = [name for bit, name in [(11, "nG"), (10, "AF"), (6, "EL0"), (52, "contiguous")] if word & 1 << bit]
    return "%s at %#x, %s%s, attributes %d, %s" % (size, output, access, execute, word >> 2 & 7, " ".join(more))


class Walk(gdb.Command):
    """walk ADDRESS: the descriptors that translate a virtual address, from TTBR0_EL1 or TTBR1_EL1 on."""

    def __init__(self):
        super().__init__("walk", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        if not argument:
            raise gdb.GdbError("walk ADDRESS")
        va = number(argument)
        if not number("$SCTLR") & 1:
            print("the MMU is off: %#x is a physical address" % va)
            return
        if va >> 48 not in (0, 0xFFFF):
            print("%#x is in neither half" % va)
            return
        root = "TTBR1_EL1" if va >> 63 else "TTBR0_EL1"
        table = number("$" + root) & 0x0000FFFFFFFFFFFE
        print("%#x by %s, root %#x" % (va, root, table))
        for level in range(4):
            index = va >> 39 - 9 * level & 0x1FF
            [word] = physical(table + 8 * index, 1)
            print("  L%d [%3d] %016x %s" % (level, index, word, descriptor(level, word)))
            if not word & 1:
                return
            if level == 3 or not word & 2:
                size = 1 << 39 - 9 * level
                print("  %#x is at %#x" % (va, (word & OUTPUT & ~(size - 1)) | va & size - 1))
                return
            table = word & OUTPUT


def leaves(table, level, va):
    """All valid blocks and pages below a table, by address: (va, level, word)."""
    for index, word in enumerate(physical(table, 512)):
        at = va | index << 39 - 9 * level
        if word & 1 and word & 2 and level < 3:
            if word >> 59:
                raise gdb.GdbError("the table entry of %#x limits what is below it: %#x" % (at, word))
            yield from leaves(word & OUTPUT, level + 1, at)
        elif word & 1:
            yield at, level, word


def runs(all_leaves):
    """Leaves that go on where the one before ends, with the same attributes, as one: [va, level, word, count]."""
    run = None
    for va, level, word in all_leaves:
        size = 1 << 39 - 9 * level
        if run and run[1] == level and (run[0] + run[3] * size, run[2] + run[3] * size) == (va, word):
            run[3] += 1
            continue
        if run:
            yield run
        run = [va, level, word, 1]
    if run:
        yield run


class Tables(gdb.Command):
    """tables: all that TTBR0_EL1 and TTBR1_EL1 translate, in runs of like descriptors. tools/src/pictures/tables.rs reads it."""

    def __init__(self):
        super().__init__("tables", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        print("MAIR_EL1 %#x, SCTLR_EL1 %#x" % (number("$MAIR_EL1"), number("$SCTLR")))
        for half, root in [(0, "TTBR0_EL1"), (0xFFFF << 48, "TTBR1_EL1")]:
            table = number("$" + root) & 0x0000FFFFFFFFFFFE
            print("%s, root %#x" % (root, table))
            for va, level, word, count in runs(leaves(table, 0, half)):
                print("  %016x L%d %5d x %016x %s" % (va, level, count, word, descriptor(level, word)))
        for name in PARTS:
            address = number("(unsigned long)&" + name)
            # It has two sets of symbols.
            print("%016x %s" % (address if address >> 63 else address + load_offset(), name))


def atomic(value):
    """The number in an atomic."""
    while value.type.code == gdb.TYPE_CODE_STRUCT:
        value = value[value.type.fields()[0].name]
    return int(value)


class Task(gdb.Command):
    """task [N]: mode, debt and figures of task N, or of the task that runs on this core (SP_EL0)."""

    def __init__(self):
        super().__init__("task", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        tasks = linked("lazy_mmu_kernel::task::TASKS")
        if argument:
            index = number(argument)
            first, last = tasks.type.range()
            if not first <= index <= last:
                raise gdb.GdbError("there are tasks %d to %d" % (first, last))
            task = tasks[index]
        else:
            current = number("$SP_EL0")
            if current < 1 << 63:
                print("no task runs yet: SP_EL0 is %#x" % current)
                return
            task = gdb.Value(current).cast(tasks[0].type.pointer()).dereference()
        mode = task["mmu"]["mode"]
        live, count, pauses, pending = [atomic(mode[name]) for name in ["live", "count", "pause_count", "pending"]]
        policy = POLICIES[atomic(mode["contract"])]
        print(
            "task %d, %s: count=%d pause_count=%d enabled=%d%s%s"
            % (
                int(task["id"]),
                policy,
                count,
                pauses,
                live & 1,
                " pending: it owes a pair" if pending else "",
                " in %d interrupt handlers" % (live >> 1) if live > 1 else "",
            )
        )
        for group in ["stats", "counts"]:
            fields = [field for field in task[group].type.fields() if field.name != "executed"]
            print("  " + ", ".join("%s %d" % (field.name, atomic(task[group][field.name])) for field in fields))


class Events(gdb.Command):
    """events [N]: the last N events of each core, oldest first. They are recorded with trace=on."""

    def __init__(self):
        super().__init__("events", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        wanted = number(argument) if argument else 16
        rings = linked("lazy_mmu_kernel::observe::ring::RINGS")
        for core in range(rings.type.range()[1] + 1):
            after = atomic(rings[core]["next"])
            slots = rings[core]["slots"]
            length = slots.type.range()[1] + 1
            count = min(after, wanted, length)
            if count == 0:
                continue
            each = slots[0].type.sizeof
            start = int(slots.address)
            read = gdb.selected_inferior().read_memory
            words = b"".join(bytes(read(start + at % length * each, each)) for at in range(after - count, after))
            print("core %d, the last %d of %d:" % (core, count, after))
            print(self.text(words), end="")

    def text(self, words):
        """The events as text: a program of the host's knows their form. The kernel lies in TARGET/aarch64-.../release."""
        target = gdb.current_progspace().filename
        for _ in range(3):
            target = os.path.dirname(target)
        programs = [os.path.join(target, profile, "ring") for profile in ["host", "debug"]]
        programs = sorted(filter(os.path.exists, programs), key=os.path.getmtime)
        if not programs:
            raise gdb.GdbError("cargo build --profile host -p lazy-mmu-tools --bin ring builds what is missing")
        with tempfile.NamedTemporaryFile() as file:
            file.write(words)
            file.flush()
            return subprocess.run([programs[-1], file.name], check=True, capture_output=True, text=True).stdout


add_physical_symbols()
for command in (Walk, Tables, Task, Events):
    command()
