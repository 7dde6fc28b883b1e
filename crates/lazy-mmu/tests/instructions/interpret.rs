//! Runs the compiler's assembly for the handful of instructions that the calls consist of, and counts them.

use std::collections::HashMap;

/// What a run of a function did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Executed, the return included.
    pub instructions: u32,
    pub loads: u32,
    pub stores: u32,
    pub pairs: u32,
    pub calls: u32,
}

/// What a run did that an interrupt handler can see, in order: `r3` reads the task's byte 3, `w3` writes it,
/// `p` is a pair. Bytes from 5 on are a table's entries.
pub type Trace = Vec<String>;

/// Assembly, by function.
pub struct Program {
    lines: Vec<String>,
    labels: HashMap<String, usize>,
}

struct Cpu<'m> {
    memory: &'m mut [u8],
    registers: [u64; 32],
    /// The last result that set flags, as (left, right) of a subtraction or (result, 0) of an `ands`.
    flags: (u64, u64),
    count: Count,
    trace: Trace,
}

impl Program {
    /// Keeps instructions and labels, a function's other names among them; directives and comments go.
    pub fn parse(assembly: &str) -> Self {
        let (mut lines, mut labels) = (Vec::new(), HashMap::new());
        let mut names = Vec::new();
        for line in assembly.lines() {
            let line = line.split("//").next().unwrap_or("").trim();
            if let Some(label) = line.strip_suffix(':') {
                labels.insert(label.to_string(), lines.len());
            } else if let Some(same) = line.split_once(" = ") {
                names.push(same);
            } else if !line.is_empty() && !line.starts_with('.') {
                lines.push(line.replace('\t', " "));
            }
        }
        for (name, of) in names {
            if let Some(&at) = labels.get(of) {
                labels.insert(name.to_string(), at);
            }
        }
        Program { lines, labels }
    }

    /// Calls a function of one argument, a pointer to `memory`; if it has a second, that points behind the
    /// five bytes of a task.
    pub fn call(&self, function: &str, memory: &mut [u8]) -> (Count, Trace) {
        let mut cpu = Cpu {
            memory,
            registers: [0; 32],
            flags: (0, 0),
            count: Count::default(),
            trace: Trace::new(),
        };
        cpu.registers[1] = 5;
        let mut at = self.label(function);
        for _ in 0..1000 {
            let line = &self.lines[at];
            let (name, operands) = line.split_once(' ').unwrap_or((line, ""));
            let operands: Vec<&str> = operands.split(',').map(str::trim).collect();
            cpu.count.instructions += 1;
            match name {
                "ret" => return (cpu.count, cpu.trace),
                _ => match cpu.execute(name, &operands) {
                    Some(target) => at = self.label(target),
                    None => at += 1,
                },
            }
        }
        panic!("{function} does not come to an end");
    }

    fn label(&self, label: &str) -> usize {
        *self
            .labels
            .get(label)
            .unwrap_or_else(|| panic!("no {label} in the assembly"))
    }
}

impl Cpu<'_> {
    /// One instruction; where to go on, if it branches.
    fn execute<'l>(&mut self, name: &str, operands: &[&'l str]) -> Option<&'l str> {
        let value = |i: usize| self.value(operands[i]);
        let taken = |condition: bool, i: usize| condition.then(|| operands[i]);
        match name {
            "b" => return Some(operands[0]),
            "cbz" => return taken(value(0) == 0, 1),
            "cbnz" => return taken(value(0) != 0, 1),
            "tbz" => return taken(value(0) >> value(1) & 1 == 0, 2),
            "tbnz" => return taken(value(0) >> value(1) & 1 != 0, 2),
            "cmp" => self.flags = (value(0), value(1)),
            "tst" => self.flags = (value(0) & value(1), 0),
            "mov" => self.set(operands[0], value(1)),
            "add" => self.set(operands[0], value(1).wrapping_add(value(2))),
            "sub" => self.set(operands[0], value(1).wrapping_sub(value(2))),
            "and" => self.set(operands[0], value(1) & value(2)),
            "orr" => self.set(operands[0], value(1) | value(2)),
            "subs" => {
                let (left, right) = (value(1), value(2));
                self.flags = (left, right);
                self.set(operands[0], left.wrapping_sub(right));
            }
            "ands" => {
                self.flags = (value(1) & value(2), 0);
                self.set(operands[0], self.flags.0);
            }
            "cset" => self.set(operands[0], u64::from(self.holds(operands[1]))),
            "cinc" => self.set(operands[0], value(1) + u64::from(self.holds(operands[2]))),
            // Where the condition does not hold, the flags are given: Z and nothing else, or none at all.
            "ccmp" => {
                self.flags = match (self.holds(operands[3]), operands[2]) {
                    (true, _) => (value(0), value(1)),
                    (false, "#4") => (0, 0),
                    (false, "#0") => (1, 0),
                    (false, flags) => panic!("ccmp with the flags {flags}: teach it to the test"),
                };
            }
            "csinc" => {
                let chosen = self.holds(operands[3]);
                self.set(operands[0], if chosen { value(1) } else { value(2) + 1 });
            }
            "csel" => self.set(
                operands[0],
                value(if self.holds(operands[3]) { 1 } else { 2 }),
            ),
            "ldrb" => {
                self.count.loads += 1;
                let address = self.address(&operands[1..]);
                self.trace.push(format!("r{address}"));
                let byte = self.memory[address];
                self.set(operands[0], u64::from(byte));
            }
            "strb" => {
                let byte = u8::try_from(value(0) & 0xff).expect("masked");
                self.count.stores += 1;
                let address = self.address(&operands[1..]);
                self.trace.push(format!("w{address}"));
                self.memory[address] = byte;
            }
            // A frame is pushed and popped; nothing that is counted depends on what is in it.
            "str" | "ldr" | "stp" | "ldp" if operands.iter().any(|o| o.contains("sp")) => {}
            "dsb" => {}
            "isb" => {
                self.count.pairs += 1;
                self.trace.push("p".into());
            }
            "bl" => self.count.calls += 1,
            _ => {
                let condition = name.strip_prefix("b.").unwrap_or_else(|| {
                    panic!("the compiler has learnt `{name} {operands:?}`: teach it to the test")
                });
                return taken(self.holds(condition), 0);
            }
        }
        None
    }

    fn holds(&self, condition: &str) -> bool {
        let (left, right) = self.flags;
        let signed = |v: u64| v.cast_signed();
        match condition {
            "eq" => left == right,
            "ne" => left != right,
            "hi" => left > right,
            "hs" => left >= right,
            "lo" => left < right,
            "ls" => left <= right,
            "gt" => signed(left) > signed(right),
            "ge" => signed(left) >= signed(right),
            "lt" => signed(left) < signed(right),
            "le" => signed(left) <= signed(right),
            _ => panic!("condition {condition}"),
        }
    }

    fn value(&self, operand: &str) -> u64 {
        if let Some(immediate) = operand.strip_prefix('#') {
            let (digits, radix) = match immediate.strip_prefix("0x") {
                Some(digits) => (digits, 16),
                None => (immediate, 10),
            };
            return u64::from_str_radix(digits, radix).expect("an immediate");
        }
        let value = self.registers[register(operand)];
        if operand.starts_with('w') {
            value & 0xffff_ffff
        } else {
            value
        }
    }

    fn set(&mut self, operand: &str, value: u64) {
        let value = if operand.starts_with('w') {
            value & 0xffff_ffff
        } else {
            value
        };
        // Register 31 is the zero register here.
        if register(operand) != 31 {
            self.registers[register(operand)] = value;
        }
    }

    /// Of `[x0]` or `[x0, #4]`: the pointer is 0, so the rest is an index.
    fn address(&self, operands: &[&str]) -> usize {
        let bare: Vec<&str> = operands
            .iter()
            .map(|o| o.trim_matches(['[', ']']))
            .collect();
        let sum: u64 = bare.iter().map(|o| self.value(o)).sum();
        usize::try_from(sum).expect("an index")
    }
}

fn register(name: &str) -> usize {
    match name {
        "wzr" | "xzr" => 31,
        _ => name[1..]
            .parse()
            .unwrap_or_else(|_| panic!("register {name}")),
    }
}
