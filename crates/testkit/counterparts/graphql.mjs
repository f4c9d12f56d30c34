// Compares GraphQL exchanges with GitHub's published schema. Reads a JSON list of {query, variables, answer} on
// standard input and prints a JSON list of what is wrong with them. Run inside the folder of the counterparts.
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { buildClientSchema, execute, getOperationAST, parse, validate } from "graphql";

const schema = buildClientSchema(JSON.parse(readFileSync("node_modules/@octokit/graphql-schema/schema.json", "utf8")));
const wrong = { requests: [], answers: [] };

/** The type of an object whose answer does not say it: these are the only ones behind an interface here. */
const usual = { Node: "Repository", Actor: "User", RepositoryOwner: "User", GitObject: "Commit" };

function judge({ query, variables, answer }) {
  const document = parse(query);
  const bad = validate(schema, document);
  wrong.requests.push(...bad.map((error) => `${error.message} in ${query}`));
  if (bad.length > 0 || !answer.data) return;
  // Every field is answered by what was answered; the schema checks types, lists and what must not be null.
  const result = execute({
    schema,
    document,
    rootValue: answer.data,
    variableValues: variables,
    fieldResolver: (source, _arguments, _context, info) => source[info.path.key],
    typeResolver: (value, _context, _info, type) => value.__typename ?? usual[type.name],
  });
  const errors = result.errors ?? [];
  wrong.answers.push(...errors.map((error) => `${error.message} at ${error.path?.join(".")} in the answer to ${query}`));
  const checked = JSON.parse(JSON.stringify(result.data ?? null));
  if (errors.length === 0 && !isDeepStrictEqual(checked, answer.data)) {
    wrong.answers.push(`fields were answered that ${getOperationAST(document).operation} did not ask for: ${query}`);
  }
}

for (const exchange of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    judge(exchange);
  } catch (error) {
    wrong.requests.push(`${error.message} in ${exchange.query}`);
  }
}
process.stdout.write(JSON.stringify(wrong));
