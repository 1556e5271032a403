// Verifies a Sigstore bundle with a public key alone: node verify_bundle.mjs BUNDLE MANIFEST PUBLIC_KEY
// Uses Sigstore's own packages and nothing of Assay.
import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { bundleFromJSON } from "@sigstore/bundle";
import { toSignedEntity, Verifier } from "@sigstore/verify";

const [bundleFile, manifestFile, keyFile] = process.argv.slice(2);
const publicKey = createPublicKey(readFileSync(keyFile));
const bundle = bundleFromJSON(JSON.parse(readFileSync(bundleFile, "utf8")));
const trusted = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const finder = () => ({ publicKey, validFor: () => true });
const verifier = new Verifier({ ...trusted, publicKey: finder }, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 });
try {
  verifier.verify(toSignedEntity(bundle, readFileSync(manifestFile)));
  console.log(`${bundleFile}: verified`);
} catch (error) {
  console.error(`${bundleFile}: ${error.message}`);
  process.exit(1);
}
