// The app: the Functions host in a container, scaled by the queues that it reads.

@description('Name of the container app, 2 to 32 lower-case letters, digits and hyphens.')
@minLength(2)
@maxLength(32)
param name string

@description('Region.')
param location string

@description('Tags of the resource.')
param tags object

@description('The image, by digest in releases: <registry>/assay@sha256:...')
param image string

@description('Where the image is pulled from, by the identity.')
param registryServer string

@description('The environment that it runs in.')
param environmentId string

@description('What the addresses of the environment end in.')
param environmentDomain string

@description('The identity that it runs as.')
param identityId string

@description('Client id of that identity.')
param identityClientId string

@description('Name of the storage account.')
param storageAccountName string

@description('Address of the vault with secrets.')
param keyVaultUrl string

@description('Address of the key that signs bundles.')
param signingKeyUrl string

@description('Address of the first Azure OpenAI account.')
param openAiEndpoint string

@description('Addresses of the other accounts, by the names that suites use.')
param endpoints object

@description('What each deployment grants per minute, by the names that suites use.')
param quota object

@description('Address of Content Safety; empty: there is none.')
param contentSafetyEndpoint string

@description('How to reach the Durable Task Scheduler by identity; empty: the state of orchestrations is in storage.')
param durableTaskAddress string

@description('Where telemetry is sent.')
param telemetryAddress string

@description('More settings by name. Those that this template sets win. A key or token is said as keyvault:<secret>.')
param extraSettings object

@description('Whether Container Apps knows that this is a Functions app, and makes the rules for scaling itself.')
param functionsIntegration bool

@description('Reachable from outside the environment: with private networking from the network, otherwise from everywhere.')
param ingressExternal bool

@description('Cores of a replica.')
@allowed(['0.5', '1', '2', '4'])
param cpu string

@description('Replicas when there is nothing to do. Never 0: nobody would wake the orchestrations.')
@minValue(1)
@maxValue(1000)
param minReplicas int

@description('Replicas at most.')
@minValue(1)
@maxValue(1000)
param maxReplicas int

@description('Messages that a replica takes at once, and for which one is added: batchSize of host.json.')
@minValue(1)
@maxValue(32)
param messagesPerReplica int

var memoryOf = { '0.5': '1Gi', '1': '2Gi', '2': '4Gi', '4': '8Gi' }
var workerProcessesOf = { '0.5': '1', '1': '1', '2': '2', '4': '4' }

var storage = {
  blob: 'https://${storageAccountName}.blob.${environment().suffixes.storage}'
  queue: 'https://${storageAccountName}.queue.${environment().suffixes.storage}'
  table: 'https://${storageAccountName}.table.${environment().suffixes.storage}'
}

// Every setting of the app, in one table; one without a value is not set. docs/azure.md says who reads which.
var settings = {
  // The Functions host and its extensions.
  AzureWebJobsStorage__blobServiceUri: storage.blob
  AzureWebJobsStorage__queueServiceUri: storage.queue
  AzureWebJobsStorage__tableServiceUri: storage.table
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  // All replicas are one app: without a name in common each would run the timers for itself.
  AzureFunctionsWebHost__hostid: name
  // The account belongs to one app, so a second name of that app is no other app.
  FUNCTIONS_HOSTID_CHECK_LEVEL: 'Warning'
  FUNCTIONS_WORKER_PROCESS_COUNT: workerProcessesOf[cpu]
  AzureFunctionsJobHost__extensions__queues__batchSize: string(messagesPerReplica)
  // Files arrive by Event Grid; the blob trigger would poll and, with many blobs, miss some.
  AzureWebJobs_ingest_blob_Disabled: 'true'
  WEBSITE_SITE_NAME: name
  WEBSITE_HOSTNAME: '${name}${ingressExternal ? '' : '.internal'}.${environmentDomain}'
  AzureFunctionsJobHost__extensions__durableTask__storageProvider__type: empty(durableTaskAddress) ? '' : 'azureManaged'
  AzureFunctionsJobHost__extensions__durableTask__storageProvider__connectionStringName: empty(durableTaskAddress) ? '' : 'DURABLE_TASK_SCHEDULER_CONNECTION_STRING'
  DURABLE_TASK_SCHEDULER_CONNECTION_STRING: durableTaskAddress
  // Telemetry.
  APPLICATIONINSIGHTS_CONNECTION_STRING: telemetryAddress
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD;ClientId=${identityClientId}'
  OTEL_SERVICE_NAME: name
  // Assay.
  AZURE_CLIENT_ID: identityClientId
  ASSAY_STORAGE__blobServiceUri: storage.blob
  ASSAY_STORAGE__queueServiceUri: storage.queue
  ASSAY_STORAGE__credential: 'managedidentity'
  ASSAY_STORAGE__clientId: identityClientId
  AZURE_OPENAI_ENDPOINT: openAiEndpoint
  ASSAY_ENDPOINTS: empty(endpoints) ? '' : string(endpoints)
  ASSAY_QUOTA: empty(quota) ? '' : string(quota)
  KEY_VAULT_URI: keyVaultUrl
  ASSAY_SIGNING_KEY: signingKeyUrl
  CONTENT_SAFETY_ENDPOINT: contentSafetyEndpoint
  // As many chunks as all replicas can take at once, so that the queue can ask for all of them.
  ASSAY_QUEUE_DEPTH: string(min(1000, max(64, maxReplicas * messagesPerReplica)))
  ASSAY_IMAGE_DIGEST: contains(image, '@') ? split(image, '@')[1] : ''
}

var given = filter(items(union(extraSettings, settings)), one => !empty(string(one.value)))

var rules = [
  {
    name: 'trials'
    azureQueue: {
      accountName: storageAccountName
      queueName: 'trials'
      queueLength: messagesPerReplica
      identity: identityId
    }
  }
  {
    name: 'ingest'
    azureQueue: {
      accountName: storageAccountName
      queueName: 'ingest'
      queueLength: messagesPerReplica
      identity: identityId
    }
  }
]

resource app 'Microsoft.App/containerApps@2025-07-01' = {
  name: name
  location: location
  tags: tags
  kind: functionsIntegration ? 'functionapp' : null
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    environmentId: environmentId
    workloadProfileName: 'Consumption'
    configuration: {
      // One revision at a time: two would read the same queues with different code.
      activeRevisionsMode: 'Single'
      maxInactiveRevisions: 5
      // Needed even when nobody calls: without ingress Container Apps probes and scales nothing of Functions.
      ingress: {
        external: ingressExternal
        targetPort: 8080
        transport: 'http'
        allowInsecure: false
      }
      registries: [{ server: registryServer, identity: identityId }]
    }
    template: {
      // A replica that is taken away finishes the calls that it paid for.
      terminationGracePeriodSeconds: 600
      containers: [
        {
          name: 'assay'
          image: image
          resources: {
            cpu: json(cpu)
            memory: memoryOf[cpu]
          }
          env: [for one in given: { name: one.key, value: string(one.value) }]
          probes: [
            {
              type: 'Startup'
              httpGet: { path: '/admin/host/ping', port: 8080 }
              // Five minutes: the host loads its extensions first. More than ten failures cannot be asked for.
              periodSeconds: 30
              timeoutSeconds: 5
              failureThreshold: 10
            }
            {
              type: 'Liveness'
              httpGet: { path: '/admin/host/ping', port: 8080 }
              periodSeconds: 30
              timeoutSeconds: 5
              failureThreshold: 5
            }
            {
              type: 'Readiness'
              httpGet: { path: '/api/health', port: 8080 }
              periodSeconds: 30
              timeoutSeconds: 10
              failureThreshold: 5
            }
          ]
        }
      ]
      scale: {
        minReplicas: minReplicas
        maxReplicas: maxReplicas
        pollingInterval: 15
        cooldownPeriod: 300
        rules: functionsIntegration ? [] : rules
      }
    }
  }
}

@description('Address of the app, in the environment or from outside.')
output url string = 'https://${app.properties.configuration.ingress.fqdn}'
