// Assay in Azure: creates a resource group and what runs in it, and gives every right by role. docs/azure.md explains it.

targetScope = 'subscription'

import { openAiAccount } from 'modules/types.bicep'

// What and where

@description('Short name that begins the names of all resources: 2 to 7 lower-case letters and digits, a letter first.')
@minLength(2)
@maxLength(7)
param name string = 'assay'

@description('Region of everything that has no region of its own.')
param location string = deployment().location

@description('The resource group, which is created if need be.')
@minLength(1)
@maxLength(90)
param resourceGroupName string = 'rg-${name}'

@description('Tags of all resources.')
param tags object = {}

@description('Object id of the person or group that deploys suites, drops files and reads results; empty: nobody yet.')
param operatorsId string = ''

@description('What that id is.')
@allowed(['Group', 'ServicePrincipal', 'User'])
param operatorsType string = 'Group'

// The app

@description('The image, in releases by digest: <registry>/assay@sha256:... Empty: everything but the app, to build it first.')
param image string = ''

@description('Replicas when there is nothing to do. Never 0: nobody would wake the orchestrations.')
@minValue(1)
@maxValue(1000)
param minReplicas int = 1

@description('Replicas at most. More than the quota can feed only wait for it, and cost storage operations.')
@minValue(1)
@maxValue(1000)
param maxReplicas int = 2

@description('Cores of a replica.')
@allowed(['0.5', '1', '2', '4'])
param cpu string = '1'

@description('Messages that a replica takes at once, and for which one is added: batchSize of host.json.')
@minValue(1)
@maxValue(32)
param messagesPerReplica int = 4

@description('Deploy the app as kind `functionapp`, and leave the rules for scaling to Container Apps. docs/azure.md says why not.')
param functionsIntegration bool = false

@description('Let the HTTP functions be called from outside the environment; function keys protect them.')
param ingressExternal bool = false

@description('Spread replicas over zones. Needs privateNetwork and a region with zones; cannot be changed later.')
param zoneRedundant bool = false

@description('More settings of the app by name, see docs/azure.md. A key or token is said as keyvault:<secret>.')
param extraSettings object = {}

// Models

@description('Azure OpenAI accounts, created or yours, with the deployments that suites may name. The first one is the one without @.')
@minLength(1)
param openAiAccounts openAiAccount[] = [
  {
    name: 'main'
    deployments: [{ name: 'gpt-5.4-mini', version: '2026-03-17', capacity: 100 }]
  }
]

@description('Create Azure AI Content Safety, for suites with a prompt shield.')
param contentSafety bool = false

// Storage

@description('How often and where data are copied.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS', 'Standard_RAGRS', 'Standard_RAGZRS'])
param storageSku string = 'Standard_ZRS'

@description('Days for which deleted and overwritten blobs can be brought back; 0: not at all.')
@minValue(0)
@maxValue(365)
param softDeleteDays int = 7

@description('Days after which kept answers below cache/ are deleted.')
@minValue(1)
@maxValue(3650)
param cacheDays int = 30

@description('Days after which blobs of runs, audit and bundles move to the cool tier.')
@minValue(1)
@maxValue(3650)
param coolAfterDays int = 30

@description('Days after which blobs of runs and audit are deleted; 0: never.')
@minValue(0)
@maxValue(36500)
param deleteAfterDays int = 0

@description('Log every storage operation. A large run makes millions, which cost more than the storage.')
param storageLogs bool = false

@description('Resource id of a storage account of yours; empty: one is created.')
param existingStorageAccountId string = ''

@description('Name of the Event Grid system topic that this account of yours has already; an account can have only one.')
param existingEventTopicName string = ''

// Keys and secrets

@description('premium keeps the signing key in hardware.')
@allowed(['standard', 'premium'])
param keyVaultSku string = 'standard'

@description('Days for which a deleted vault, key or secret can be brought back. Cannot be changed once there is a vault.')
@minValue(7)
@maxValue(90)
param keyVaultSoftDeleteDays int = 90

@description('Nobody can end those days early. Cannot be taken back once it is set.')
param keyVaultPurgeProtection bool = true

@description('Name of the key that signs bundles. A key of that name that is there already is left as it is.')
@minLength(1)
@maxLength(127)
param signingKeyName string = 'assay-signing'

@description('Secrets by name, for settings that say keyvault:<name>. Only for what cannot be an identity.')
@secure()
param secrets object = {}

@description('Resource id of a Key Vault of yours, with rights by roles; empty: one is created.')
param existingKeyVaultId string = ''

// Image registry

@description('Resource id of a registry of yours; empty: one is created.')
param existingRegistryId string = ''

// Network

@description('Reach storage, vault, models, Content Safety and scheduler through private endpoints only, and run the app in a network.')
param privateNetwork bool = false

@description('The registry too, which is then a Premium one. With privateNetwork only; images must then be built inside the network.')
param privateRegistry bool = false

@description('Public addresses or ranges from which operators may reach the storage account in spite of privateNetwork.')
param allowedIps string[] = []

@description('Addresses of the network, a /24 or larger; not used with a network of yours.')
param networkAddressPrefix string = '10.90.0.0/24'

@description('Subnet of yours for the environment: /27 or larger, delegated to Microsoft.App/environments. With privateNetwork only.')
param existingAppsSubnetId string = ''

@description('Subnet of yours for private endpoints. With existingAppsSubnetId.')
param existingEndpointsSubnetId string = ''

@description('Resource id of the group in which your private DNS zones are; empty: zones are created.')
param existingDnsZonesGroupId string = ''

// State of orchestrations

@description('Keep it in the Durable Task Scheduler in place of the storage account.')
param durableTaskScheduler bool = false

@description('Address ranges that may reach the scheduler; with privateNetwork none does.')
param durableTaskIpAllowlist string[] = ['0.0.0.0/0']

// Monitoring

@description('Days for which telemetry is kept.')
@minValue(30)
@maxValue(730)
param telemetryDays int = 30

@description('Gigabytes of telemetry per day after which no more is taken; -1: no limit.')
@minValue(-1)
param telemetryDailyGb int = 5

@description('Mail addresses that alerts go to.')
param alertEmails string[] = []

@description('Resource ids of action groups of yours that alerts go to as well.')
param alertActionGroupIds string[] = []

@description('Create the alerts. They cost a little each.')
param alerts bool = true

@description('Percent of a suite\'s trials that may fail before there is an alert.')
@minValue(0)
@maxValue(100)
param alertFailedPercent int = 10

@description('Percent of the requests to a deployment that may get 429 before there is an alert.')
@minValue(0)
@maxValue(100)
param alertThrottledPercent int = 10

@description('Percent of its budget that a run may spend before there is an alert.')
@minValue(1)
@maxValue(100)
param alertBudgetPercent int = 90

@description('Minutes for which a run may show no progress before there is an alert.')
@minValue(5)
@maxValue(240)
param alertStalledMinutes int = 15

// Names. Each is a resource id, made here or given, so that the rest of the template need not ask which. Its parts are
// ['', 'subscriptions', id, 'resourceGroups', group, 'providers', namespace, type, name].

var token = uniqueString(subscription().id, resourceGroupName, location)
var home = '${subscription().id}/resourceGroups/${resourceGroupName}'
var appName = 'ca-${name}-${token}'

var isNewStorage = empty(existingStorageAccountId)
var storageId = isNewStorage ? '${home}/providers/Microsoft.Storage/storageAccounts/st${name}${token}' : existingStorageAccountId
var storageParts = split(storageId, '/')
var storageName = storageParts[8]

var isNewKeyVault = empty(existingKeyVaultId)
var keyVaultId = isNewKeyVault ? '${home}/providers/Microsoft.KeyVault/vaults/kv-${name}-${token}' : existingKeyVaultId
var keyVaultParts = split(keyVaultId, '/')
var keyVaultName = keyVaultParts[8]
var keyVaultUrl = 'https://${keyVaultName}${environment().suffixes.keyvaultDns}'
var signingKeyUrl = '${keyVaultUrl}/keys/${signingKeyName}'

var isNewRegistry = empty(existingRegistryId)
var registryId = isNewRegistry ? '${home}/providers/Microsoft.ContainerRegistry/registries/cr${name}${token}' : existingRegistryId
var registryParts = split(registryId, '/')
var registryName = registryParts[8]
var registryServer = '${registryName}${environment().suffixes.acrLoginServer}'

var contentSafetyName = 'cs-${name}-${token}'
var durableTaskName = 'dts-${name}-${token}'
var taskHubName = 'assay'

// Models: addresses and quotas, as the app is told them.

var openAiDomain = environment().name == 'AzureUSGovernment' ? 'openai.azure.us' : 'openai.azure.com'

var models = [for account in openAiAccounts: {
  name: account.name
  isNew: empty(account.?resourceId ?? '')
  id: account.?resourceId ?? '${home}/providers/Microsoft.CognitiveServices/accounts/oai-${name}-${account.name}-${token}'
  endpoint: account.?endpoint ?? 'https://oai-${name}-${account.name}-${token}.${openAiDomain}'
}]

var grantedRows = flatten(map(range(0, length(openAiAccounts)), at => map(openAiAccounts[at].deployments, one => {
  reference: at == 0 ? one.name : '${one.name}@${openAiAccounts[at].name}'
  quota: {
    requests_per_minute: one.?requestsPerMinute ?? (one.capacity * 6)
    tokens_per_minute: one.?tokensPerMinute ?? (one.capacity * 1000)
    accounting: contains(one.?sku ?? '', 'Provisioned') ? 'settled' : 'standard'
  }
})))
var quota = toObject(grantedRows, row => row.reference, row => row.quota)
var endpoints = toObject(skip(models, 1), one => one.name, one => one.endpoint)

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: resourceGroupName
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: 'id-${name}-${token}'
    location: location
    tags: tags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    workspaceName: 'log-${name}-${token}'
    insightsName: 'appi-${name}-${token}'
    location: location
    tags: tags
    retentionDays: telemetryDays
    dailyQuotaGb: telemetryDailyGb
  }
}

// What keeps data and answers questions

module storageAccount 'modules/storage-account.bicep' = if (isNewStorage) {
  name: 'storage-account'
  scope: group
  params: {
    name: storageName
    location: location
    tags: tags
    sku: storageSku
    isPrivate: privateNetwork
    allowedIps: allowedIps
    softDeleteDays: softDeleteDays
    cacheDays: cacheDays
    coolAfterDays: coolAfterDays
    deleteAfterDays: deleteAfterDays
    logsWorkspaceId: storageLogs ? monitoring.outputs.workspaceId : ''
  }
}

module storageContents 'modules/storage-contents.bicep' = {
  name: 'storage-contents'
  scope: resourceGroup(storageParts[2], storageParts[4])
  params: {
    accountName: storageName
  }
  dependsOn: [storageAccount]
}

module keyVault 'modules/key-vault.bicep' = if (isNewKeyVault) {
  name: 'key-vault'
  scope: group
  params: {
    name: keyVaultName
    location: location
    tags: tags
    sku: keyVaultSku
    isPrivate: privateNetwork
    softDeleteDays: keyVaultSoftDeleteDays
    purgeProtection: keyVaultPurgeProtection
    workspaceId: monitoring.outputs.workspaceId
  }
}

module keyVaultContents 'modules/key-vault-contents.bicep' = {
  name: 'key-vault-contents'
  scope: resourceGroup(keyVaultParts[2], keyVaultParts[4])
  params: {
    vaultName: keyVaultName
    signingKeyName: signingKeyName
    keyType: keyVaultSku == 'premium' ? 'EC-HSM' : 'EC'
    secrets: secrets
  }
  dependsOn: [keyVault]
}

module openAi 'modules/openai.bicep' = [for (account, at) in openAiAccounts: if (models[at].isNew) {
  name: 'openai-${account.name}'
  scope: group
  params: {
    name: split(models[at].id, '/')[8]
    location: account.?location ?? location
    tags: tags
    isPrivate: privateNetwork
    deployments: account.deployments
  }
}]

module safety 'modules/content-safety.bicep' = if (contentSafety) {
  name: 'content-safety'
  scope: group
  params: {
    name: contentSafetyName
    location: location
    tags: tags
    isPrivate: privateNetwork
  }
}

module scheduler 'modules/durable-task.bicep' = if (durableTaskScheduler) {
  name: 'durable-task'
  scope: group
  params: {
    name: durableTaskName
    location: location
    tags: tags
    taskHubName: taskHubName
    isPrivate: privateNetwork
    ipAllowlist: durableTaskIpAllowlist
  }
}

module registry 'modules/registry.bicep' = if (isNewRegistry) {
  name: 'registry'
  scope: group
  params: {
    name: registryName
    location: location
    tags: tags
    isPrivate: privateNetwork && privateRegistry
  }
}

// Network

var isNewNetwork = privateNetwork && empty(existingAppsSubnetId)

module network 'modules/network.bicep' = if (isNewNetwork) {
  name: 'network'
  scope: group
  params: {
    name: 'vnet-${name}-${token}'
    location: location
    tags: tags
    addressPrefix: networkAddressPrefix
  }
}

var appsSubnetId = isNewNetwork ? network!.outputs.appsSubnetId : existingAppsSubnetId
var endpointsSubnetId = isNewNetwork ? network!.outputs.endpointsSubnetId : existingEndpointsSubnetId
var networkId = isNewNetwork ? network!.outputs.id : split(existingEndpointsSubnetId, '/subnets/')[0]
var zonesGroupId = empty(existingDnsZonesGroupId) ? home : existingDnsZonesGroupId

var storageSuffix = environment().suffixes.storage
// An endpoint for each part of each resource that is created; scripts/infra_checks/network.py holds them to Azure's names.
var fixedEndpoints = filter([
  { name: 'pe-${name}-blob', resourceId: isNewStorage ? storageId : '', groupId: 'blob', zone: 'privatelink.blob.${storageSuffix}' }
  { name: 'pe-${name}-queue', resourceId: isNewStorage ? storageId : '', groupId: 'queue', zone: 'privatelink.queue.${storageSuffix}' }
  { name: 'pe-${name}-table', resourceId: isNewStorage ? storageId : '', groupId: 'table', zone: 'privatelink.table.${storageSuffix}' }
  { name: 'pe-${name}-vault', resourceId: isNewKeyVault ? keyVaultId : '', groupId: 'vault', zone: 'privatelink.vaultcore.azure.net' }
  { name: 'pe-${name}-registry', resourceId: isNewRegistry && privateRegistry ? registryId : '', groupId: 'registry', zone: 'privatelink.azurecr.io' }
  { name: 'pe-${name}-safety', resourceId: contentSafety ? '${home}/providers/Microsoft.CognitiveServices/accounts/${contentSafetyName}' : '', groupId: 'account', zone: 'privatelink.cognitiveservices.azure.com' }
  { name: 'pe-${name}-tasks', resourceId: durableTaskScheduler ? '${home}/providers/Microsoft.DurableTask/schedulers/${durableTaskName}' : '', groupId: 'scheduler', zone: 'privatelink.durabletask.io' }
], one => !empty(one.resourceId))
var openAiEndpoints = map(filter(models, one => one.isNew), one => {
  name: 'pe-${name}-openai-${one.name}'
  resourceId: one.id
  groupId: 'account'
  zone: 'privatelink.${openAiDomain}'
})
var privateEndpoints = concat(fixedEndpoints, openAiEndpoints)
var privateZones = union(map(privateEndpoints, one => one.zone), [])

module dnsZones 'modules/dns-zones.bicep' = if (privateNetwork && empty(existingDnsZonesGroupId)) {
  name: 'dns-zones'
  scope: group
  params: {
    zoneNames: privateZones
    tags: tags
    networkId: networkId
  }
}

module privateLinks 'modules/private-endpoints.bicep' = if (privateNetwork) {
  name: 'private-endpoints'
  scope: group
  params: {
    location: location
    tags: tags
    subnetId: endpointsSubnetId
    zonesGroupId: zonesGroupId
    endpoints: privateEndpoints
  }
  dependsOn: [storageAccount, keyVault, registry, safety, scheduler, openAi, dnsZones]
}

// Who may do what; the table is in roles.bicep

var app = { who: 'app', id: identity.outputs.principalId, type: 'ServicePrincipal' }
var operators = { who: 'operators', id: operatorsId, type: operatorsType }

module storageRoles 'modules/roles.bicep' = {
  name: 'roles-storage'
  scope: resourceGroup(storageParts[2], storageParts[4])
  params: {
    kind: 'storage'
    resourceName: storageName
    principals: [app, operators]
  }
  dependsOn: [storageContents]
}

module keyVaultRoles 'modules/roles.bicep' = {
  name: 'roles-key-vault'
  scope: resourceGroup(keyVaultParts[2], keyVaultParts[4])
  params: {
    kind: 'keyVault'
    resourceName: keyVaultName
    principals: [app, operators]
  }
  dependsOn: [keyVaultContents]
}

module signingKeyRoles 'modules/roles.bicep' = {
  name: 'roles-signing-key'
  scope: resourceGroup(keyVaultParts[2], keyVaultParts[4])
  params: {
    kind: 'signingKey'
    resourceName: '${keyVaultName}/${signingKeyName}'
    principals: [app, operators]
  }
  dependsOn: [keyVaultContents]
}

module openAiRoles 'modules/roles.bicep' = [for (account, at) in openAiAccounts: {
  name: 'roles-openai-${account.name}'
  scope: resourceGroup(split(models[at].id, '/')[2], split(models[at].id, '/')[4])
  params: {
    kind: 'openAi'
    resourceName: split(models[at].id, '/')[8]
    principals: [app]
  }
  dependsOn: [openAi]
}]

module safetyRoles 'modules/roles.bicep' = if (contentSafety) {
  name: 'roles-content-safety'
  scope: group
  params: {
    kind: 'contentSafety'
    resourceName: contentSafetyName
    principals: [app]
  }
  dependsOn: [safety]
}

module registryRoles 'modules/roles.bicep' = {
  name: 'roles-registry'
  scope: resourceGroup(registryParts[2], registryParts[4])
  params: {
    kind: 'registry'
    resourceName: registryName
    principals: [app]
  }
  dependsOn: [registry]
}

module insightsRoles 'modules/roles.bicep' = {
  name: 'roles-insights'
  scope: group
  params: {
    kind: 'insights'
    resourceName: split(monitoring.outputs.insightsId, '/')[8]
    principals: [app]
  }
}

module taskHubRoles 'modules/roles.bicep' = if (durableTaskScheduler) {
  name: 'roles-task-hub'
  scope: group
  params: {
    kind: 'taskHub'
    resourceName: '${durableTaskName}/${taskHubName}'
    principals: [app]
  }
  dependsOn: [scheduler]
}

// Dropped files become messages: topic, its rights to send and to keep what it cannot send, subscription, in this order

var topicName = empty(existingEventTopicName) ? 'evgt-${name}-${token}' : existingEventTopicName

module eventsTopic 'modules/events-topic.bicep' = {
  name: 'events-topic'
  scope: resourceGroup(storageParts[2], storageParts[4])
  params: {
    name: topicName
    location: storageContents.outputs.location
    tags: tags
    storageAccountId: storageId
    isNew: empty(existingEventTopicName)
    workspaceId: monitoring.outputs.workspaceId
  }
}

var events = { who: 'events', id: eventsTopic.outputs.principalId, type: 'ServicePrincipal' }

module ingestQueueRoles 'modules/roles.bicep' = {
  name: 'roles-ingest-queue'
  scope: resourceGroup(storageParts[2], storageParts[4])
  params: {
    kind: 'ingestQueue'
    resourceName: '${storageName}/ingest'
    principals: [events]
  }
}

module deadLettersRoles 'modules/roles.bicep' = {
  name: 'roles-dead-letters'
  scope: resourceGroup(storageParts[2], storageParts[4])
  params: {
    kind: 'deadLetters'
    resourceName: '${storageName}/dead-letters'
    principals: [events]
  }
}

module eventsSubscription 'modules/events-subscription.bicep' = {
  name: 'events-subscription'
  scope: resourceGroup(storageParts[2], storageParts[4])
  params: {
    topicName: topicName
    storageAccountId: storageId
  }
  dependsOn: [ingestQueueRoles, deadLettersRoles]
}

// The app

module appEnvironment 'modules/environment.bicep' = {
  name: 'environment'
  scope: group
  params: {
    name: 'cae-${name}-${token}'
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    subnetId: privateNetwork ? appsSubnetId : ''
    zoneRedundant: zoneRedundant
  }
}

var durableTaskAddress = durableTaskScheduler ? 'Endpoint=${scheduler!.outputs.endpoint};TaskHub=${taskHubName};Authentication=ManagedIdentity;ClientID=${identity.outputs.clientId}' : ''

module containerApp 'modules/app.bicep' = if (!empty(image)) {
  name: 'app'
  scope: group
  params: {
    name: appName
    location: location
    tags: union(tags, { 'azd-service-name': 'assay' })
    image: image
    registryServer: registryServer
    environmentId: appEnvironment.outputs.id
    environmentDomain: appEnvironment.outputs.defaultDomain
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageAccountName: storageName
    keyVaultUrl: keyVaultUrl
    signingKeyUrl: signingKeyUrl
    openAiEndpoint: models[0].endpoint
    endpoints: endpoints
    quota: quota
    contentSafetyEndpoint: contentSafety ? safety!.outputs.endpoint : ''
    durableTaskAddress: durableTaskAddress
    telemetryAddress: monitoring.outputs.telemetryAddress
    extraSettings: extraSettings
    functionsIntegration: functionsIntegration
    ingressExternal: ingressExternal
    cpu: cpu
    minReplicas: minReplicas
    maxReplicas: maxReplicas
    messagesPerReplica: messagesPerReplica
  }
  dependsOn: [
    storageRoles
    keyVaultRoles
    signingKeyRoles
    openAiRoles
    safetyRoles
    registryRoles
    insightsRoles
    taskHubRoles
    privateLinks
  ]
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: {
    displayName: 'Assay runs (${name})'
    location: location
    tags: tags
    insightsId: monitoring.outputs.insightsId
    workspaceId: monitoring.outputs.workspaceId
  }
}

module alertRules 'modules/alerts.bicep' = if (alerts) {
  name: 'alerts'
  scope: group
  params: {
    name: name
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    storageAccountId: storageId
    eventsTopicId: eventsTopic.outputs.id
    emails: alertEmails
    actionGroupIds: alertActionGroupIds
    failedPercent: alertFailedPercent
    throttledPercent: alertThrottledPercent
    budgetPercent: alertBudgetPercent
    stalledMinutes: alertStalledMinutes
  }
  dependsOn: [storageAccount]
}

@description('The resource group.')
output AZURE_RESOURCE_GROUP string = group.name

@description('Where the image is pushed to.')
output AZURE_CONTAINER_REGISTRY_ENDPOINT string = registryServer

@description('Name of the container app.')
output ASSAY_APP_NAME string = appName

@description('Address of the app; empty until there is one.')
output ASSAY_APP_URL string = empty(image) ? '' : containerApp!.outputs.url

@description('Address of the blob service, for the command line: files are dropped and bundles read there.')
output ASSAY_STORAGE__blobServiceUri string = 'https://${storageName}.blob.${storageSuffix}'

@description('Address of the queue service, for the command line.')
output ASSAY_STORAGE__queueServiceUri string = 'https://${storageName}.queue.${storageSuffix}'

@description('The vault.')
output KEY_VAULT_URI string = keyVaultUrl

@description('The key that signs bundles; `assay verify --keyvault` takes it.')
output ASSAY_SIGNING_KEY string = signingKeyUrl

@description('The workbook, for a link into the portal.')
output ASSAY_WORKBOOK_ID string = workbook.outputs.id
