// What a client in TypeScript builds on: compiled against types generated from both OpenAPI documents, never run.

import type { components as Commands, paths as CommandPaths } from "./commands";
import type { components as Queries, paths as QueryPaths } from "./queries";

type Json<Response> = Response extends { content: { "application/json": infer Body } } ? Body : never;
type Order = Json<QueryPaths["/v1/orders/{order_id}"]["get"]["responses"][200]>;
type PlaceOrder = Json<CommandPaths["/v1/orders"]["post"]["requestBody"]>;
type Refused = CommandPaths["/v1/orders"]["post"]["responses"][409]["content"]["application/problem+json"];

const order: PlaceOrder = {
  order_id: "536365",
  country: "United Kingdom",
  currency: "GBP",
  lines: [{ sku: "85123A", quantity: 6, unit_price: "2.55" }],
};

export const cart: Commands["schemas"]["OpenCart"] = { currency: "GBP" };

export const batch: Commands["schemas"]["Batch"] = {
  commands: [
    { key: "place", command: "place_order", body: order },
    { key: "ship", command: "ship_order", target: "536365" },
  ],
};

export function country(entry: Commands["schemas"]["BatchEntry"]): string {
  return entry.command === "place_order" ? entry.body.country : entry.key;
}

export function verdict(result: Commands["schemas"]["Results"]["results"][number]): string {
  return "code" in result ? result.code : `${result.stream} is at version ${result.version}`;
}

export function isOpen(found: Order): boolean {
  switch (found.status) {
    case "placed":
    case "confirmed":
      return true;
    case "rejected":
    case "cancelled":
    case "shipped":
      return false;
  }
}

export function nextCursor(page: Queries["schemas"]["OrdersPage"]): string | null {
  return page.next_cursor;
}

export function reason(problem: Refused): string {
  return `${problem.code}: ${problem.detail} (${problem.correlation_id})`;
}

// Types that took everything would let all of the above pass. The compiler complains where one of these is no error.

// @ts-expect-error a line has a quantity
export const incomplete: Commands["schemas"]["Line"] = { sku: "85123A" };

// @ts-expect-error there is no such command
export const unknown: Commands["schemas"]["BatchEntry"] = { key: "k", command: "burn_down", body: {} };

// @ts-expect-error a shipment has a target
export const untargeted: Commands["schemas"]["BatchEntry"] = { key: "k", command: "ship_order" };

// @ts-expect-error an order has no such member
export const absent = (found: Order): unknown => found.colour;

// @ts-expect-error a path has its version
export type Unversioned = QueryPaths["/orders/{order_id}"];
