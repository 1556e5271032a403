// The key that signs bundles, and secrets, in the vault that this template made or in one of yours.

@description('Name of the vault, in this resource group.')
param vaultName string

@description('Name of the signing key. A key of that name that is there already is left as it is.')
param signingKeyName string

@description('EC-HSM keeps the key in hardware; the vault must be a premium one.')
@allowed(['EC', 'EC-HSM'])
param keyType string

@description('Secrets by name, for settings that say keyvault:<name>. Only what cannot be an identity.')
@secure()
param secrets object

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

// No expiry: an expired key would stop publishing. docs/verification.md says how a new one takes its place.
resource signingKey 'Microsoft.KeyVault/vaults/keys@2024-11-01' = {
  parent: vault
  name: signingKeyName
  properties: {
    kty: keyType
    curveName: 'P-256'
    keyOps: ['sign', 'verify']
    attributes: {
      enabled: true
      exportable: false
    }
  }
}

resource kept 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = [for secret in items(secrets): {
  parent: vault
  name: secret.key
  properties: {
    value: secret.value
    contentType: 'text/plain'
  }
}]
