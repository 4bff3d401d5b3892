// Asks the language example by a client that is made of its document; test_clients.py runs it.
import createClient from "openapi-fetch";
import type { components, paths } from "./service.js";

declare const process: { argv: string[] };
type Answer = components["schemas"]["language.Response"];
type Problem = components["schemas"]["Problem"];

// JSON alone, since the endpoint answers in protobuf too.
type Json = "application/json" | "application/problem+json";

const client = createClient<paths, Json>({ baseUrl: process.argv[2]! });

async function detect(title: string) {
  const { data, error } = await client.POST("/", { body: { title } });
  return { answer: data satisfies Answer | undefined, problem: error satisfies Problem | undefined };
}

async function mistaken(): Promise<Problem | undefined> {
  // @ts-expect-error: a title is a string
  const { error } = await client.POST("/", { body: { title: ["Bonjour"] } });
  return error;
}

const { answer } = await detect("Bonjour, comment allez-vous ?");
const confident: boolean = (answer?.confidence ?? 0) > 0.9;
// @ts-expect-error: a confidence is a number
const text: string | undefined = answer?.confidence;

const status: number | undefined = (await detect("")).problem?.status;
const fields: string[] = ((await mistaken())?.errors ?? []).map((each) => each.field);
console.log(JSON.stringify({ language: answer?.language, confident, status, fields }));
