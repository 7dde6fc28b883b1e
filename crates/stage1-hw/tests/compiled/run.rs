//! Runs the compiler's assembly for the handful of instructions in it, and says what it did.

use std::collections::HashMap;

/// Assembly, by function.
pub struct Program<'a> {
    lines: Vec<&'a str>,
    labels: HashMap<&'a str, usize>,
}

/// What a function did.
#[derive(Default)]
pub struct Run {
    /// Barriers, cache and TLB maintenance, system registers and memory, in order:
    /// `dsb ishst`, `tlbi vae1is 0x400`, `store 0x1000 0x7`, `load 0x1000`.
    pub trace: Vec<String>,
    /// Executed, the return included.
    pub instructions: usize,
    pub registers: [u64; 32],
}

/// What DCZID_EL0 holds, when a function reads it.
pub type Dczid = u64;

/// The error of an instruction that is not known here begins like this.
pub const UNKNOWN: &str = "the compiler has learnt";

/// A system register other than DCZID_EL0 reads as this number of it.
pub fn value_of(register: &str) -> u64 {
    register
        .bytes()
        .fold(1, |sum, byte| sum * 31 % 0xFFFF_FFFB + u64::from(byte))
}

impl<'a> Program<'a> {
    /// Keeps instructions and labels; directives and comments go.
    pub fn parse(assembly: &'a str) -> Self {
        let (mut lines, mut labels, mut aliases) = (Vec::new(), HashMap::new(), Vec::new());
        for line in assembly.lines() {
            let line = line.split("//").next().unwrap_or("").trim();
            if let Some(label) = line.strip_suffix(':') {
                labels.insert(label, lines.len());
            } else if let Some(alias) = line.split_once(" = ") {
                // Two functions with one body.
                aliases.push(alias);
            } else if !line.is_empty() && !line.starts_with('.') {
                lines.push(line);
            }
        }
        for (alias, function) in aliases {
            if let Some(at) = labels.get(function).copied() {
                labels.insert(alias, at);
            }
        }
        Program { lines, labels }
    }

    /// The instructions of a function, from its label to its last `ret`.
    pub fn text(&self, function: &str) -> Result<&[&'a str], String> {
        let from = self.label(function)?;
        let others = self
            .labels
            .iter()
            .filter(|(name, _)| !name.starts_with(".L"));
        let to = others.map(|(_, at)| *at).filter(|at| *at > from).min();
        Ok(&self.lines[from..to.unwrap_or(self.lines.len())])
    }

    fn label(&self, label: &str) -> Result<usize, String> {
        let at = self.labels.get(label).copied();
        at.ok_or_else(|| format!("no {label} in the assembly"))
    }

    /// Calls a function with these arguments in x0 and on, and 0x2000 in x8.
    pub fn call(&self, function: &str, arguments: &[u64], dczid: Dczid) -> Result<Run, String> {
        let mut cpu = Cpu {
            dczid,
            ..Cpu::default()
        };
        cpu.run.registers[..arguments.len()].copy_from_slice(arguments);
        cpu.run.registers[8] = 0x2000;
        let mut at = self.label(function)?;
        for _ in 0..20_000 {
            let line = self.lines.get(at).ok_or("it runs off the end")?;
            cpu.run.instructions += 1;
            let (name, operands) = line.split_once(['\t', ' ']).unwrap_or((line, ""));
            if name == "ret" {
                return Ok(cpu.run);
            }
            let operands: Vec<&str> = operands.split(',').map(str::trim).collect();
            match cpu
                .execute(name, &operands)
                .map_err(|e| format!("{function}: {e}"))?
            {
                Some(target) => at = self.label(target)?,
                None => at += 1,
            }
        }
        Err(format!("{function} does not come to an end"))
    }
}

#[derive(Default)]
struct Cpu {
    run: Run,
    dczid: Dczid,
    /// The last subtraction that set flags.
    flags: (u64, u64),
}

impl Cpu {
    /// One instruction; where to go on, if it branches.
    fn execute<'l>(&mut self, name: &str, operands: &[&'l str]) -> Result<Option<&'l str>, String> {
        let unknown = || format!("{UNKNOWN} `{name} {operands:?}`: teach it to the test");
        let operand = |n: usize| operands.get(n).copied().ok_or_else(unknown);
        let value = |n: usize| {
            self.value(&operands[n.min(operands.len())..])
                .ok_or_else(unknown)
        };
        match name {
            "b" => return operand(0).map(Some),
            "cbz" => return Ok(operand(1).ok().filter(|_| value(0) == Ok(0))),
            "cbnz" => return Ok(operand(1).ok().filter(|_| value(0) != Ok(0))),
            "tbz" | "tbnz" => {
                let set = value(0)? >> value(1)? & 1 == 1;
                return Ok(operand(2).ok().filter(|_| set == (name == "tbnz")));
            }
            "nop" => {}
            "cmp" => self.flags = (value(0)?, value(1)?),
            "tst" => self.flags = (value(0)? & value(1)?, 0),
            "cmn" => self.flags = (value(0)?, value(1)?.wrapping_neg()),
            "subs" => {
                self.flags = (value(1)?, value(2)?);
                self.set(operand(0)?, self.flags.0.wrapping_sub(self.flags.1));
            }
            "mov" => self.set(operand(0)?, value(1)?),
            "add" => self.set(operand(0)?, value(1)?.wrapping_add(value(2)?)),
            "sub" => self.set(operand(0)?, value(1)?.wrapping_sub(value(2)?)),
            "and" => self.set(operand(0)?, value(1)? & value(2)?),
            "csel" => {
                let taken = self.holds(operand(3)?).ok_or_else(unknown)?;
                self.set(operand(0)?, value(if taken { 1 } else { 2 })?);
            }
            "lsl" => self.set(operand(0)?, value(1)? << (value(2)? & 63)),
            "ldr" | "ldp" | "str" | "stp" => self.access(name, operands).ok_or_else(unknown)?,
            "mrs" => {
                let register = operand(1)?;
                let number = if register.eq_ignore_ascii_case("dczid_el0") {
                    self.dczid
                } else {
                    value_of(register)
                };
                self.set(operand(0)?, number);
            }
            "msr" | "dc" => {
                let what = operand(0)?;
                self.run
                    .trace
                    .push(format!("{name} {what} {:#x}", value(1)?));
            }
            "tlbi" if operands.len() == 2 => {
                let what = operand(0)?;
                self.run.trace.push(format!("tlbi {what} {:#x}", value(1)?));
            }
            "dsb" | "dmb" | "isb" | "tlbi" => {
                let text = format!("{name} {}", operands.join(", "));
                self.run.trace.push(text.trim_end().to_owned());
            }
            _ => {
                let condition = name.strip_prefix("b.").and_then(|c| self.holds(c));
                let taken = condition.ok_or_else(unknown)?;
                return Ok(operand(0).ok().filter(|_| taken));
            }
        }
        Ok(None)
    }

    fn holds(&self, condition: &str) -> Option<bool> {
        let (left, right) = self.flags;
        Some(match condition {
            "eq" => left == right,
            "ne" => left != right,
            "hi" => left > right,
            "hs" => left >= right,
            "lo" => left < right,
            "ls" => left <= right,
            _ => return None,
        })
    }

    /// Of an operand, and a shift behind it: `x1`, `#16`, `#1` and `lsl #12`.
    fn value(&self, operands: &[&str]) -> Option<u64> {
        let (operand, shift) = (operands.first()?, operands.get(1));
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        let value = match operand.strip_prefix('#') {
            Some(digits) => number(digits)?,
            None => {
                let value = self.run.registers[register(operand)?];
                if operand.starts_with('w') {
                    value & 0xFFFF_FFFF
                } else {
                    value
                }
            }
        };
        let shift = shift
            .and_then(|s| s.strip_prefix("lsl #"))
            .map_or(Some(0), number)?;
        Some(value << shift)
    }

    fn set(&mut self, operand: &str, value: u64) {
        let value = if operand.starts_with('w') {
            value & 0xFFFF_FFFF
        } else {
            value
        };
        // Register 31 is the zero register here.
        if let Some(register) = register(operand).filter(|r| *r != 31) {
            self.run.registers[register] = value;
        }
    }

    /// `ldr x0, [x1, #8]`, `stp x0, x1, [x2]`: nothing is kept of what is stored, and loads read zero.
    fn access(&mut self, name: &str, operands: &[&str]) -> Option<()> {
        let count = if name.ends_with('p') { 2 } else { 1 };
        let (registers, address) = operands.split_at_checked(count)?;
        let last = address.last()?.strip_suffix(']')?;
        let first = address.first()?.strip_prefix('[')?;
        let parts = if address.len() == 1 {
            vec![first.strip_suffix(']')?]
        } else {
            vec![first, last]
        };
        let mut at = 0_u64;
        for part in parts {
            at = at.wrapping_add(self.value(&[part])?);
        }
        for register in registers {
            // Only whole words: that is what makes an access single-copy atomic.
            register.strip_prefix('x')?;
            if name.starts_with('l') {
                self.run.trace.push(format!("load {at:#x}"));
                self.set(register, 0);
            } else {
                let value = self.value(&[register])?;
                self.run.trace.push(format!("store {at:#x} {value:#x}"));
            }
            at = at.wrapping_add(8);
        }
        Some(())
    }
}

fn register(name: &str) -> Option<usize> {
    match name {
        "wzr" | "xzr" => Some(31),
        _ => name
            .strip_prefix(['x', 'w'])?
            .parse()
            .ok()
            .filter(|n| *n < 31),
    }
}
