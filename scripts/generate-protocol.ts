import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { calls, PROTOCOL_MAJOR } from '../src/protocol/calls.ts';
import { messagesOf, problemsOf } from '../src/protocol/layout.ts';
import {
  coveragePage,
  coverageProblems,
  readDriverSymbols,
  readWrittenSymbols,
  symbolTableSource,
  unsupportedSource,
} from './protocol/driver-symbols.ts';
import { rustCodec } from './protocol/rust-codec.ts';
import { protocolPage } from './protocol/reference-page.ts';

/** Writes the Rust codec, the client's symbols and the reference pages from the call table. */
function generate(): void {
  const symbols = readDriverSymbols();
  const written = readWrittenSymbols();
  const problems = [...problemsOf(calls), ...coverageProblems(symbols, written)];
  if (problems.length > 0) {
    console.error(`src/protocol: ${problems.join('\nsrc/protocol: ')}`);
    process.exit(1);
  }
  const messages = messagesOf(calls);
  const shapes = messages.map(({ name, call, isReply, shape }) => [
    name,
    call.number,
    isReply,
    call.kind,
    call.bulk,
    shape,
  ]);
  const fingerprint = createHash('sha256').update(JSON.stringify(shapes)).digest('hex').slice(0, 16);
  const version = { major: PROTOCOL_MAJOR, fingerprint };
  const rust = execFileSync('rustfmt', ['--edition', '2024', '--config', 'max_width=120'], {
    input: rustCodec(messages, version),
  });
  writeFileSync('native/protocol/src/generated.rs', rust);
  writeFileSync('docs/reference/protocol.md', protocolPage(calls, version));
  writeFileSync('native/client/src/generated/symbols.rs', symbolTableSource(symbols));
  writeFileSync('native/client/src/generated/unsupported.rs', unsupportedSource(symbols, written));
  writeFileSync('docs/reference/coverage.md', coveragePage(symbols));
}

generate();
