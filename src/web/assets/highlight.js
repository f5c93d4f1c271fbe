// Colours code: a language is a few regular expressions, tried in order at each place. Answers
// tokens, never markup.

const words = text => text.split(' ').join('|');
/// The end of the code; `$` is that of a line.
const END = String.raw`$(?![^])`;
const BLOCK = String.raw`\/\*[^]*?(?:\*\/|${END})`;
const C_COMMENT = String.raw`\/\/[^\n]*|${BLOCK}`;
const HASH_COMMENT = String.raw`#[^\n]*`;
const DOUBLE = String.raw`"(?:\\[^]|[^"\\\n])*"?`;
const SINGLE = String.raw`'(?:\\[^]|[^'\\\n])*'?`;
const NUMBER = String.raw`\b(?:0[xX][\da-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?)\w*`;
const CALL = String.raw`\b[A-Za-z_$][\w$]*(?=\s*\()`;

function language({ comment, string, number = NUMBER, keyword, call = CALL, other, flags = '' }) {
  const parts = [];
  if (comment) parts.push(`(?<comment>${comment})`);
  if (string) parts.push(`(?<string>${string})`);
  if (other) parts.push(other);
  if (keyword) parts.push(String.raw`(?<keyword>\b(?:${words(keyword)})\b)`);
  if (number) parts.push(`(?<number>${number})`);
  if (call) parts.push(`(?<function>${call})`);
  return new RegExp(parts.join('|'), `gm${flags}`);
}

const JS = 'as async await break case catch class const continue debugger default delete do else enum export extends false finally for from function get if implements import in instanceof interface let new null of private protected public readonly return set static super switch this throw true try type typeof undefined var void while with yield';
const C = 'alignas auto bool break case catch char class const constexpr continue default delete do double else enum explicit extern false final float for friend goto if inline int long namespace new noexcept nullptr operator override private protected public register return short signed sizeof static struct switch template this throw true try typedef typename union unsigned using virtual void volatile while';
const JAVA = 'abstract assert boolean break byte case catch char class const continue default do double else enum extends false final finally float for if implements import instanceof int interface long native new null package private protected public record return sealed short static super switch synchronized this throw throws transient true try var void volatile while yield';
const PY = 'and as assert async await break case class continue def del elif else except False finally for from global if import in is lambda match None nonlocal not or pass raise return self True try while with yield';
const RUST = 'as async await box break const continue crate dyn else enum extern false fn for if impl in let loop match mod move mut pub ref return self Self static struct super trait true type union unsafe use where while';
const GO = 'break case chan const continue default defer else fallthrough false for func go goto if import interface iota map nil package range return select struct switch true type var any bool byte error float32 float64 int int8 int16 int32 int64 rune string uint uint8 uint16 uint32 uint64';
const BASH = 'if then else elif fi for while until do done case esac in function return exit local export readonly declare set unset shift source alias trap cd echo printf read test sudo';
const SQL = 'add all alter and as asc begin between by case check column commit constraint create cross database default delete desc distinct drop else end exists foreign from full group having if in index inner insert into is join key left like limit not null offset on or order outer primary references returning right rollback select set table then transaction union unique update using values view when where with';

const LANGUAGES = {
  js: () => language({ comment: C_COMMENT, string: `${DOUBLE}|${SINGLE}|${'`'}(?:\\\\[^]|[^${'`'}\\\\])*${'`'}?`, keyword: JS }),
  python: () => language({ comment: HASH_COMMENT, string: String.raw`[rbfuRBFU]{0,2}(?:"""[^]*?(?:"""|$(?![^]))|'''[^]*?(?:'''|$(?![^]))|${DOUBLE}|${SINGLE})`, keyword: PY, other: String.raw`(?<number2>^[ \t]*@[\w.]+)` }),
  rust: () => language({ comment: C_COMMENT, string: String.raw`b?r#*"[^]*?"#*|b?"(?:\\[^]|[^"\\])*"|b?'(?:\\.[^'\n]{0,8}|[^'\\\n])'`, keyword: RUST, call: String.raw`\b[A-Za-z_]\w*(?=\s*\()|\b[a-z_]\w*!` }),
  go: () => language({ comment: C_COMMENT, string: `${DOUBLE}|${'`'}[^${'`'}]*${'`'}?|${SINGLE}`, keyword: GO }),
  c: () => language({ comment: C_COMMENT, string: `${DOUBLE}|${SINGLE}`, keyword: C, other: String.raw`(?<number2>^[ \t]*#[ \t]*\w+)` }),
  java: () => language({ comment: C_COMMENT, string: `"""[^]*?"""|${DOUBLE}|${SINGLE}`, keyword: JAVA, other: String.raw`(?<number2>@\w+)` }),
  json: () => language({ comment: C_COMMENT, other: String.raw`(?<function2>"(?:\\[^]|[^"\\\n])*"(?=\s*:))|(?<string>"(?:\\[^]|[^"\\\n])*"?)`, number: String.raw`-?\b\d[\d.eE+-]*`, keyword: 'true false null', call: '' }),
  yaml: () => language({ comment: String.raw`(?<![^\s])#[^\n]*`, other: String.raw`(?<function2>^[ \t-]{0,40}[\w."'/-]{1,80}(?=[ \t]*(?::(?:\s|$)|=)))|(?<keyword2>^[ \t]*\[[^\]\n]*\]+)`, string: `"""[^]*?"""|${DOUBLE}|${SINGLE}`, keyword: 'true false null yes no on off', call: '' }),
  html: () => language({ comment: String.raw`<!--[^]*?(?:-->|$(?![^]))`, string: `${DOUBLE}|'[^'\\n<>]*'`, other: String.raw`(?<keyword2><\/?[A-Za-z][\w:-]*|\/?>)|(?<function2>\b[\w:@-]{1,60}(?==))`, number: '', call: '' }),
  css: () => language({ comment: BLOCK, string: `${DOUBLE}|${SINGLE}`, other: String.raw`(?<function2>--[\w-]+|\b[a-z-]{1,40}(?=\s*:[^:]))|(?<keyword2>@[\w-]+|![a-z]+)`, number: String.raw`#[\da-fA-F]{3,8}\b|-?\b\d[\d.]*(?:%|[a-z]+)?` }),
  bash: () => language({ comment: String.raw`(?<![^\s;(])#[^\n]*`, string: `"(?:\\\\[^]|[^"\\\\])*"?|'[^']*'?`, other: String.raw`(?<number2>\$(?:\{[^}\n]*\}?|\w+|[?!#@*$-]))|(?<function2>(?<=\s)--?[A-Za-z][\w-]*)`, number: String.raw`\b\d+\b`, keyword: BASH, call: '' }),
  sql: () => language({ comment: String.raw`--[^\n]*|${BLOCK}`, string: `'(?:''|[^'])*'?`, keyword: SQL, flags: 'i' }),
  diff: () => /(?<comment>^(?:@@|diff |index |--- |\+\+\+ )[^\n]*)|(?<added>^\+[^\n]*)|(?<removed>^-[^\n]*)/gm,
};

const NAMES = {
  javascript: 'js', jsx: 'js', ts: 'js', typescript: 'js', tsx: 'js', mjs: 'js', cjs: 'js', node: 'js',
  py: 'python', python3: 'python', rs: 'rust', golang: 'go', cpp: 'c', 'c++': 'c', cc: 'c', h: 'c', hpp: 'c', cs: 'java', csharp: 'java', kt: 'java', kotlin: 'java', swift: 'java', scala: 'java', php: 'js',
  jsonc: 'json', json5: 'json', yml: 'yaml', toml: 'yaml', ini: 'yaml', conf: 'yaml', dockerfile: 'bash', xml: 'html', svg: 'html', vue: 'html', scss: 'css', less: 'css',
  sh: 'bash', shell: 'bash', zsh: 'bash', console: 'bash', terminal: 'bash', patch: 'diff',
};
/// Longer code stays plain: it would cost more than it helps.
const MOST = 40_000;
const compiled = new Map();

/// The language's own name here, or nothing.
export function languageOf(name) {
  const own = NAMES[name] ?? name;
  return Object.hasOwn(LANGUAGES, own) ? own : null;
}

/// The language of a file, by its name.
export function languageOfPath(path) {
  const name = path.split('/').at(-1).toLowerCase();
  if (name === 'dockerfile' || name === 'makefile') return 'bash';
  return name.includes('.') ? languageOf(name.split('.').at(-1)) : null;
}

/// The lines of a code, each a list of `[class, text]`; an empty class is plain.
export function highlight(code, name) {
  const own = languageOf(name);
  const lines = [[]];
  const push = (kind, text) => {
    text.split('\n').forEach((piece, at) => {
      if (at) lines.push([]);
      if (piece) lines.at(-1).push([kind, piece]);
    });
  };
  if (!own || code.length > MOST) {
    push('', code);
    return lines;
  }
  if (!compiled.has(own)) compiled.set(own, LANGUAGES[own]());
  const pattern = compiled.get(own);
  let at = 0;
  for (const found of code.matchAll(pattern)) {
    if (!found[0]) continue;
    if (found.index > at) push('', code.slice(at, found.index));
    const kind = Object.keys(found.groups).find(key => found.groups[key] !== undefined) ?? '';
    push(kind.replace('2', ''), found[0]);
    at = found.index + found[0].length;
  }
  if (at < code.length) push('', code.slice(at));
  return lines;
}
