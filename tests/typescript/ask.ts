// Asks the language example by a client that is made of its document; test_clients.py runs it.
import createClient from "openapi-fetch";
import type { components, paths } from "./service.js";

declare const process: { argv: string[] };
type Answer = components["schemas"]["language.Response"];
type Problem = components["schemas"]["Problem"];

const client = createClient<paths>({ baseUrl: process.argv[2]! });

async function detect(title: string): Promise<Answer | Problem> {
  const { data, error } = await client.POST("/", { body: { title } });
  return data ?? error!;
}

async function mistaken(): Promise<Problem | undefined> {
  // @ts-expect-error: there is no such field
  const { error } = await client.POST("/", { body: { titel: "Bonjour" } });
  return error;
}

const answer: Answer = await detect("Bonjour, comment allez-vous ?");
const confident: boolean = (answer.confidence ?? 0) > 0.9;
// @ts-expect-error: a confidence is a number
const text: string | undefined = answer.confidence;

const empty = (await detect("")) as Problem;
const fields: string[] = ((await mistaken())?.errors ?? []).map((each) => each.field);
console.log(
  JSON.stringify({ language: answer.language, confident, status: empty.status, fields }),
);
