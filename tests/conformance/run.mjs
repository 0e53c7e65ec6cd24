// Audits GraphQL servers against the GraphQL over HTTP specification with the suite of graphql-http:
// node run.mjs NAME=URL [NAME=URL ...]. Exits with 1 if the first of them fails any audit.
import { auditServer } from 'graphql-http';

const LEVELS = ['MUST', 'SHOULD', 'MAY'];
const servers = process.argv.slice(2).map((argument) => {
  const at = argument.indexOf('=');
  return { name: argument.slice(0, at), url: argument.slice(at + 1) };
});

for (const server of servers) {
  server.results = await auditServer({ url: server.url });
  server.failures = server.results.filter((result) => result.status !== 'ok');
}

function passed(server, counts) {
  const asked = server.results.filter(counts);
  return `${asked.filter((result) => result.status === 'ok').length}/${asked.length}`;
}

const width = Math.max(...servers.map((server) => server.name.length)) + 4;
const row = (title, cells) =>
  console.log(title.padEnd(8) + cells.map((cell) => cell.padStart(width)).join(''));

row('', servers.map((server) => server.name));
for (const level of LEVELS) {
  const ofLevel = (result) => result.name.startsWith(level);
  row(level, servers.map((server) => passed(server, ofLevel)));
}
row('all', servers.map((server) => passed(server, () => true)));

for (const server of servers.filter((one) => one.failures.length > 0)) {
  console.log(`\n${server.name} fails:`);
  for (const failure of server.failures) {
    console.log(`  ${failure.id} ${failure.name}: ${failure.reason}`);
  }
}
process.exitCode = servers[0].failures.length > 0 ? 1 : 0;
