//! Reads and evaluates an expression in one go (precedence climbing, after Richards and Whitby-Strevens, BCPL, 1979).
//!
//! Precedence is that of mathematics and of Python: `-2^2` is -4 and `2^3^2` is 2^9. Depth is bounded, so that no
//! expression exhausts the stack.

use super::number::Number;

/// How deep parentheses, functions, signs and powers may be nested.
const MAX_DEPTH: usize = 50;

/// The binding power of a sign: above `*`, below `^`.
const SIGN: u8 = 5;

type Result<T> = std::result::Result<T, String>;

/// The value of an expression.
pub(super) fn evaluate(expression: &str) -> Result<Number> {
    let mut parser = Parser { text: expression, at: 0, depth: 0 };
    let value = parser.expression(0)?;
    match parser.peek() {
        None => Ok(value),
        Some(c) => Err(parser.unexpected(c)),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

#[derive(Clone, Copy)]
enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
}

impl Operator {
    /// How strongly it binds to its left and to its right; a power binds to its right first.
    const fn binding(self) -> (u8, u8) {
        match self {
            Self::Add | Self::Subtract => (1, 2),
            Self::Multiply | Self::Divide | Self::Remainder => (3, 4),
            Self::Power => (8, 7),
        }
    }

    fn apply(self, left: Number, right: Number) -> Result<Number> {
        match self {
            Self::Add => left.add(right),
            Self::Subtract => left.subtract(right),
            Self::Multiply => left.multiply(right),
            Self::Divide => left.divide(right),
            Self::Remainder => left.remainder(right),
            Self::Power => left.power(right),
        }
    }
}

impl Parser<'_> {
    /// An expression whose operators bind at least as strongly as `least`.
    fn expression(&mut self, least: u8) -> Result<Number> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("the expression is nested more than {MAX_DEPTH} deep"));
        }
        let mut value = self.operand()?;
        while let Some((operator, length)) = self.operator() {
            let (left, right) = operator.binding();
            if left < least {
                break;
            }
            self.at += length;
            let other = self.expression(right)?;
            value = operator.apply(value, other)?;
        }
        self.depth -= 1;
        Ok(value)
    }

    fn operand(&mut self) -> Result<Number> {
        match self.peek() {
            None => Err("the expression ends where a number is expected".to_owned()),
            Some('-') => {
                self.at += 1;
                self.expression(SIGN)?.negate()
            }
            Some('+') => {
                self.at += 1;
                self.expression(SIGN)
            }
            Some('(') => {
                self.at += 1;
                let value = self.expression(0)?;
                self.expect(')')?;
                Ok(value)
            }
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_ascii_alphabetic() => self.name(),
            Some(c) => Err(self.unexpected(c)),
        }
    }

    fn number(&mut self) -> Result<Number> {
        let start = self.at;
        self.skip(|c| c.is_ascii_digit() || matches!(c, '.' | '_'));
        let rest = &self.text[self.at..];
        let after_e = rest.strip_prefix(['e', 'E']).map(|r| r.strip_prefix(['+', '-']).unwrap_or(r));
        if let Some(exponent) = after_e.filter(|r| r.starts_with(|c: char| c.is_ascii_digit())) {
            self.at += rest.len() - exponent.len();
            self.skip(|c| c.is_ascii_digit());
        }
        let text = self.text[start..self.at].replace('_', "");
        if let Ok(whole) = text.parse() {
            return Ok(Number::Whole(whole));
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("overflow: {text} has more than 38 digits"));
        }
        text.parse().map_err(|_| format!("{text:?} is not a number")).and_then(Number::float)
    }

    fn name(&mut self) -> Result<Number> {
        let start = self.at;
        self.skip(|c| c.is_ascii_alphanumeric());
        let name = self.text[start..self.at].to_owned();
        if self.peek() != Some('(') {
            return constant(&name);
        }
        self.at += 1;
        let mut arguments = Vec::new();
        while self.peek() != Some(')') {
            if !arguments.is_empty() {
                self.expect(',')?;
            }
            arguments.push(self.expression(0)?);
        }
        self.at += 1;
        call(&name, &arguments)
    }

    fn operator(&mut self) -> Option<(Operator, usize)> {
        let operator = match self.peek()? {
            '+' => Operator::Add,
            '-' => Operator::Subtract,
            '*' if self.text[self.at..].starts_with("**") => return Some((Operator::Power, 2)),
            '*' => Operator::Multiply,
            '/' => Operator::Divide,
            '%' => Operator::Remainder,
            '^' => Operator::Power,
            _ => return None,
        };
        Some((operator, 1))
    }

    fn expect(&mut self, wanted: char) -> Result<()> {
        match self.peek() {
            Some(c) if c == wanted => {
                self.at += 1;
                Ok(())
            }
            Some(c) => Err(self.unexpected(c)),
            None => Err(format!("the expression ends where '{wanted}' is expected")),
        }
    }

    /// The next character that is not a space.
    fn peek(&mut self) -> Option<char> {
        self.skip(char::is_whitespace);
        self.text[self.at..].chars().next()
    }

    fn skip(&mut self, skipped: impl Fn(char) -> bool) {
        self.at = self.text.len() - self.text[self.at..].trim_start_matches(skipped).len();
    }

    fn unexpected(&self, c: char) -> String {
        format!("unexpected '{c}' at character {}", self.text[..self.at].chars().count() + 1)
    }
}

fn constant(name: &str) -> Result<Number> {
    match name {
        "pi" => Number::float(std::f64::consts::PI),
        "e" => Number::float(std::f64::consts::E),
        _ => Err(format!("{name:?} is not known; there are no variables, the constants are pi and e")),
    }
}

fn call(name: &str, arguments: &[Number]) -> Result<Number> {
    match (name, arguments) {
        ("max", [first, rest @ ..]) => Ok(rest.iter().fold(*first, |a, b| a.larger(*b))),
        ("min", [first, rest @ ..]) => Ok(rest.iter().fold(*first, |a, b| a.smaller(*b))),
        ("max" | "min", []) => Err(format!("{name} takes at least 1 argument")),
        ("abs", [Number::Whole(n)]) if *n < 0 => Number::Whole(*n).negate(),
        ("abs" | "ceil" | "floor" | "round", [whole @ Number::Whole(_)]) => Ok(*whole),
        _ => {
            let function = function(name)?;
            let [argument] = arguments else {
                return Err(format!("{name} takes 1 argument, not {}", arguments.len()));
            };
            function(argument.to_f64())
        }
    }
}

fn function(name: &str) -> Result<fn(f64) -> Result<Number>> {
    Ok(match name {
        "abs" => |x| Number::float(x.abs()),
        "ceil" => |x| Number::float(x.ceil()),
        "cos" => |x| Number::float(x.cos()),
        "exp" => |x| Number::float(x.exp()),
        "floor" => |x| Number::float(x.floor()),
        "ln" => |x| logarithm(x, f64::ln),
        "log2" => |x| logarithm(x, f64::log2),
        "log10" => |x| logarithm(x, f64::log10),
        "round" => |x| Number::float(x.round()),
        "sin" => |x| Number::float(x.sin()),
        "sqrt" => |x| Number::float(x.sqrt()),
        "tan" => |x| Number::float(x.tan()),
        _ => return Err(format!("there is no function {name:?}")),
    })
}

fn logarithm(x: f64, function: fn(f64) -> f64) -> Result<Number> {
    Number::float(if x > 0.0 { function(x) } else { f64::NAN })
}
