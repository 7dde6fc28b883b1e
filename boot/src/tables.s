// The early tables, filled in by the linker.
//
// What they map (4 KiB granule, 48-bit):
//   TTBR0  identity          the 2 MiB at the image's start       normal, read-only, executable
//   TTBR1  LINEAR_BASE + pa  RAM_BASE .. + 64 MiB                 normal, read-write, never executable
//          DEVICE_BASE + pa  0 .. 1 GiB                           Device-nGnRE, never executable
//          KERNEL_BASE       RAM_BASE .. + 64 MiB                 normal, read-write AND executable: until the kernel's own
//
// MAIR: index 0 = Device-nGnRE, index 1 = Normal write-back (entry.s).

.set LOAD_OFFSET, 0xFFFFFFFF80000000 - 0x40000000

.set TABLE,    0b11
.set BLOCK,    0b01
.set AF,       1 << 10              // Access flag: nothing here takes an access-flag fault
.set SH_INNER, 3 << 8               // inner shareable: what `ishst` reaches
.set NORMAL,   1 << 2               // AttrIndx 1
.set DEVICE,   0 << 2               // AttrIndx 0
.set RO,       1 << 7               // AP[2]; AP[1] = 0 everywhere: EL1 only
.set PXN,      1 << 53
.set UXN,      1 << 54

.set MEM_RX,   BLOCK | AF | SH_INNER | NORMAL | RO | UXN
.set MEM_RWX,  BLOCK | AF | SH_INNER | NORMAL | UXN
.set MEM_RW,   MEM_RWX | PXN
.set DEV_RW,   BLOCK | AF | DEVICE | PXN | UXN

.macro table_entry table
    .quad \table - LOAD_OFFSET + TABLE
.endm

// Thirty-two 2 MiB blocks from RAM_BASE: EARLY_WINDOW.
.macro early_window attributes
    .set pa, 0x40000000
    .rept 32
    .quad pa + \attributes
    .set pa, pa + 0x200000
    .endr
    .fill 480, 8, 0
.endm

.section .early_tables, "aw"
.balign 4096

.global early_idmap_l0
early_idmap_l0:
    table_entry early_idmap_l1
    .fill 511, 8, 0
early_idmap_l1:
    .quad 0
    table_entry early_idmap_l2
    .fill 510, 8, 0
early_idmap_l2:
    .quad 0
    .quad 0x40200000 + MEM_RX
    .fill 510, 8, 0

.global early_kernel_l0
early_kernel_l0:
    table_entry early_linear_l1     // LINEAR_BASE: index 0
    .fill 383, 8, 0
    table_entry early_device_l1     // DEVICE_BASE: index 384
    .fill 126, 8, 0
    table_entry early_image_l1      // KERNEL_BASE: index 511
early_linear_l1:
    .quad 0
    table_entry early_linear_l2
    .fill 510, 8, 0
early_linear_l2:
    early_window MEM_RW
early_device_l1:
    .quad DEV_RW
    .fill 511, 8, 0
early_image_l1:
    .fill 510, 8, 0
    table_entry early_image_l2
    .quad 0
early_image_l2:
    early_window MEM_RWX

// No translations at all: what TTBR0 and TTBR1 point at between two sets of tables.
.global empty_table
empty_table:
    .fill 512, 8, 0
