/** A GraphQL client in one file: typed by the documents it is given, over fetch alone. */
import type { DocumentTypeDecoration } from "@graphql-typed-document-node/core";

/** A document as the generator writes it: its text, typed by its result and its variables. */
export interface TypedDocument<Result, Variables>
  extends DocumentTypeDecoration<Result, Variables> {
  toString(): string;
}

/** What the server said was wrong; `code` is for programs, `path` is the field. */
export interface ResponseError {
  message: string;
  path?: (string | number)[];
  extensions?: { code?: string; requestId?: string; retryAfter?: number };
}

/** A response without data. */
export class GraphQLRequestError extends Error {
  constructor(readonly errors: ResponseError[]) {
    super(errors.map((error) => error.message).join("; "));
  }

  /** Whether one of the errors has that code. */
  has(code: string): boolean {
    return this.errors.some((error) => error.extensions?.code === code);
  }
}

export class Client {
  private readonly hashes = new Map<string, string>();

  constructor(
    private readonly url: string,
    private readonly token: string,
  ) {}

  /**
   * Run a query or a mutation and return its data.
   *
   * The document goes by its hash, and its text follows only if the server does not know it yet
   * (automatic persisted queries). Throws GraphQLRequestError if there are errors.
   */
  async run<Result, Variables extends object>(
    document: TypedDocument<Result, Variables>,
    variables: Variables,
  ): Promise<Result> {
    const query = document.toString();
    const extensions = { persistedQuery: { version: 1, sha256Hash: await this.hash(query) } };
    try {
      return await this.post<Result>({ variables, extensions });
    } catch (error) {
      const unknown =
        error instanceof GraphQLRequestError && error.has("PERSISTED_QUERY_NOT_FOUND");
      if (!unknown) throw error;
      return await this.post<Result>({ query, variables, extensions });
    }
  }

  private async hash(text: string): Promise<string> {
    let hash = this.hashes.get(text);
    if (hash === undefined) {
      const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
      hash = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
      this.hashes.set(text, hash);
    }
    return hash;
  }

  private async post<Result>(body: object): Promise<Result> {
    const response = await fetch(this.url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "application/graphql-response+json, application/json;q=0.9",
        authorization: `Bearer ${this.token}`,
      },
      body: JSON.stringify(body),
    });
    const answer = (await response.json()) as { data?: Result; errors?: ResponseError[] };
    if (answer.errors || answer.data === undefined) {
      throw new GraphQLRequestError(answer.errors ?? [{ message: response.statusText }]);
    }
    return answer.data;
  }
}
