// A small PLC on node-opcua, for tests of the OPC UA driver against a server that is not asyncua's.
//
// Arguments: the directory of the node-opcua package, the port, the directory of its certificates, the number of
// foreign namespaces that stand before its own. Speaks lines of JSON: {"set": name, "value": v},
// {"set": name, "status": "BadSensorFailure"} or {"trust": file} on stdin; {"ready": true} and {"ok": true} on stdout.
"use strict";
const fs = require("fs");
const path = require("path");
const readline = require("readline");
const [packages, port, pki, foreign] = process.argv.slice(2);
const opcua = require(path.join(packages, "node_modules", "node-opcua"));

const URI = "urn:peer:plant";
const { DataType, DataValue, MessageSecurityMode, SecurityPolicy, StatusCodes, Variant } = opcua;

async function main() {
  const certificates = new opcua.OPCUACertificateManager({
    rootFolder: pki,
    automaticallyAcceptUnknownCertificate: false,
  });
  await certificates.initialize();
  const server = new opcua.OPCUAServer({
    hostname: "127.0.0.1",
    port: Number(port),
    serverCertificateManager: certificates,
    securityModes: [MessageSecurityMode.None, MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt],
    securityPolicies: [
      SecurityPolicy.None,
      SecurityPolicy.Basic256Sha256,
      SecurityPolicy.Aes128_Sha256_RsaOaep,
      SecurityPolicy.Aes256_Sha256_RsaPss,
    ],
    userManager: { isValidUser: (name, password) => name === "operator" && password === "pump house 7" },
    serverInfo: { applicationUri: "urn:peer:server", productUri: "urn:peer" },
    disableDiscovery: true,
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  for (let number = 0; number < Number(foreign); number++) {
    build(space.registerNamespace(`urn:peer:foreign:${number}`), space, 1000);
  }
  const variables = build(space.registerNamespace(URI), space, 0);
  let count = 0;
  setInterval(() => variables.count.setValueFromSource({ dataType: DataType.UInt32, value: ++count }), 100);
  await server.start();
  say({ ready: true, url: server.getEndpointUrl() });

  readline.createInterface({ input: process.stdin }).on("line", async (line) => {
    const request = JSON.parse(line);
    if (request.trust) {
      await certificates.trustCertificate(fs.readFileSync(request.trust));
      say({ ok: true });
      return;
    }
    const variable = variables[request.set];
    if (request.status) {
      variable.setValueFromSource(variable.readValue().value, StatusCodes[request.status]);
    } else {
      variable.setValueFromSource({ dataType: variable.readValue().value.dataType, value: request.value });
    }
    say({ ok: true });
  });
  process.stdin.on("end", () => process.exit(0));
}

function build(namespace, space, offset) {
  const folder = namespace.addObject({ organizedBy: space.rootFolder.objects, browseName: "PLC" });
  const add = (name, nodeId, dataType, value, writable) => {
    const variable = namespace.addVariable({
      componentOf: folder,
      browseName: name,
      nodeId,
      dataType,
      minimumSamplingInterval: 50,
      accessLevel: writable ? "CurrentRead | CurrentWrite" : "CurrentRead",
    });
    variable.setValueFromSource({ dataType: DataType[dataType], value });
    return variable;
  };
  return {
    level: add("Level", "s=LT-1.Level", "Double", 2.5 + offset, false),
    count: add("Count", "s=Count", "UInt32", offset, false),
    demand: add("Demand", "i=5001", "Int16", 0, true),
    run: add("Run", "s=Run", "Boolean", false, true),
  };
}

function say(reply) {
  process.stdout.write(JSON.stringify(reply) + "\n");
}

main().catch((error) => {
  process.stderr.write(String(error.stack || error) + "\n");
  process.exit(1);
});
