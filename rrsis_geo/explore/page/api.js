/** Ask the server, or tell it to change something. Addresses are relative: they keep the token. */

export const get = (name, values = {}) => send(`api/${name}?${new URLSearchParams(values)}`);

export const post = (name, values = {}) =>
  send(`api/${name}`, { method: "POST", body: JSON.stringify(values) });

async function send(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Error("rrsis-geo has ended or cannot be reached; start it again");
  }
  const answer = await response.json().catch(() => ({ error: `error ${response.status}; see the terminal` }));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}
