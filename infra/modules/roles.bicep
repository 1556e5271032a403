// Every right that the deployment gives, in one table: on one resource, to one kind of principal, never on a group.
// main.bicep calls this once for each resource, in the resource group of that resource.

@description('What kind of resource this is: the column `on` of the table.')
@allowed(['storage', 'ingestQueue', 'deadLetters', 'keyVault', 'signingKey', 'openAi', 'contentSafety', 'registry', 'insights', 'taskHub'])
param kind string

@description('Name of the resource, in this resource group; for a part of one <resource>/<part>.')
param resourceName string

@description('Who there is: the app, Event Grid and the operators. One without an id gets nothing.')
param principals { who: ('app' | 'events' | 'operators'), id: string, type: string }[]

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
var roleIds = {
  'Storage Blob Data Owner': 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  'Storage Blob Data Contributor': 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  'Storage Queue Data Contributor': '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
  'Storage Queue Data Message Sender': 'c6a89b2d-59bc-44d0-9896-0f6e12d7b80a'
  'Storage Table Data Contributor': '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
  'Key Vault Secrets User': '4633458b-17de-408a-b874-0445c86b69e6'
  'Key Vault Secrets Officer': 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'
  'Key Vault Reader': '21090545-7ca7-4776-b22c-e363652d74d2'
  'Key Vault Crypto User': '12338af0-0e69-4776-bea7-57ae8d297424'
  'Cognitive Services OpenAI User': '5e0bd9bd-7b93-4f28-af87-19fc36ad61bd'
  'Cognitive Services User': 'a97b65f3-24c7-4388-baec-2e87135dc908'
  AcrPull: '7f951dda-4ed3-4680-a7ca-43fe172d538d'
  'Monitoring Metrics Publisher': '3913510d-42f4-4e42-8a64-420c390055eb'
  'Durable Task Data Contributor': '0ad04412-c4d5-4796-b79c-f76d14c8d402'
}

var table = [
  // The Functions host needs the owner's role for locks and keys; runs, suites and links to bundles are within it.
  { on: 'storage', who: 'app', role: 'Storage Blob Data Owner' }
  { on: 'storage', who: 'app', role: 'Storage Queue Data Contributor' }
  // Durable Functions keeps its history in tables.
  { on: 'storage', who: 'app', role: 'Storage Table Data Contributor' }
  // Operators deploy suites, drop files and read results; resuming a run is a message.
  { on: 'storage', who: 'operators', role: 'Storage Blob Data Contributor' }
  { on: 'storage', who: 'operators', role: 'Storage Queue Data Contributor' }
  { on: 'ingestQueue', who: 'events', role: 'Storage Queue Data Message Sender' }
  { on: 'deadLetters', who: 'events', role: 'Storage Blob Data Contributor' }
  { on: 'keyVault', who: 'app', role: 'Key Vault Secrets User' }
  { on: 'keyVault', who: 'operators', role: 'Key Vault Secrets Officer' }
  { on: 'signingKey', who: 'app', role: 'Key Vault Crypto User' }
  // To verify bundles: it reads the public key and, unlike the user's role, cannot sign.
  { on: 'signingKey', who: 'operators', role: 'Key Vault Reader' }
  { on: 'openAi', who: 'app', role: 'Cognitive Services OpenAI User' }
  { on: 'contentSafety', who: 'app', role: 'Cognitive Services User' }
  { on: 'registry', who: 'app', role: 'AcrPull' }
  { on: 'insights', who: 'app', role: 'Monitoring Metrics Publisher' }
  { on: 'taskHub', who: 'app', role: 'Durable Task Data Contributor' }
]

var rows = filter(table, row => row.on == kind)
var given = filter(principals, one => !empty(one.id))
var grants = flatten(map(rows, row => map(filter(given, one => one.who == row.who), one => { role: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds[row.role]), id: one.id, type: one.type })))

var parts = split(resourceName, '/')

resource storage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = if (kind == 'storage') {
  name: parts[0]
}

resource onStorage 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in (kind == 'storage' ? grants : []): {
  scope: storage
  name: guid(storage.id, grant.id, grant.role)
  properties: { principalId: grant.id, principalType: grant.type, roleDefinitionId: grant.role }
}]

resource ingestQueue 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-06-01' existing = if (kind == 'ingestQueue') {
  name: '${parts[0]}/default/${parts[length(parts) - 1]}'
}

resource onIngestQueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in (kind == 'ingestQueue' ? grants : []): {
  scope: ingestQueue
  name: guid(ingestQueue.id, grant.id, grant.role)
  properties: { principalId: grant.id, principalType: grant.type, roleDefinitionId: grant.role }
}]

resource deadLetters 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = if (kind == 'deadLetters') {
  name: '${parts[0]}/default/${parts[length(parts) - 1]}'
}

resource onDeadLetters 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in (kind == 'deadLetters' ? grants : []): {
  scope: deadLetters
  name: guid(deadLetters.id, grant.id, grant.role)
  properties: { principalId: grant.id, principalType: grant.type, roleDefinitionId: grant.role }
}]

resource keyVault 'Microsoft.KeyVault/vaults@2024-11-01' existing = if (kind == 'keyVault') {
  name: parts[0]
}

resource onKeyVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in (kind == 'keyVault' ? grants : []): {
  scope: keyVault
  name: guid(keyVault.id, grant.id, grant.role)
  properties: { principalId: grant.id, principalType: grant.type, roleDefinitionId: grant.role }
}]

resource signingKey 'Microsoft.KeyVault/vaults/keys@2024-11-01' existing = if (kind == 'signingKey') {
  name: '${parts[0]}/${parts[length(parts) - 1]}'
}

resource onSigningKey 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in (kind == 'signingKey' ? grants : []): {
  scope: signingKey
  name: guid(signingKey.id, grant.id, grant.role)
  properties: { principalId: grant.id, principalType: grant.type, roleDefinitionId: grant.role }
}]

var onAccount = contains(['openAi', 'contentSafety'], kind)

resource cognitive 'Microsoft.CognitiveServices/accounts@2025-09-01' existing = if (onAccount) {
  name: parts[0]
}

resource onCognitive 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in (onAccount ? grants : []): {
  scope: cognitive
  name: guid(cognitive.id, grant.id, grant.role)
  properties: { principalId: grant.id, principalType: grant.type, roleDefinitionId: grant.role }
}]

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = if (kind == 'registry') {
  name: parts[0]
}

resource onRegistry 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in (kind == 'registry' ? grants : []): {
  scope: registry
  name: guid(registry.id, grant.id, grant.role)
  properties: { principalId: grant.id, principalType: grant.type, roleDefinitionId: grant.role }
}]

resource insights 'Microsoft.Insights/components@2020-02-02' existing = if (kind == 'insights') {
  name: parts[0]
}

resource onInsights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in (kind == 'insights' ? grants : []): {
  scope: insights
  name: guid(insights.id, grant.id, grant.role)
  properties: { principalId: grant.id, principalType: grant.type, roleDefinitionId: grant.role }
}]

resource taskHub 'Microsoft.DurableTask/schedulers/taskHubs@2026-02-01' existing = if (kind == 'taskHub') {
  name: '${parts[0]}/${parts[length(parts) - 1]}'
}

resource onTaskHub 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in (kind == 'taskHub' ? grants : []): {
  scope: taskHub
  name: guid(taskHub.id, grant.id, grant.role)
  properties: { principalId: grant.id, principalType: grant.type, roleDefinitionId: grant.role }
}]
